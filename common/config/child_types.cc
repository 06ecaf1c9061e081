#include "common/config/child_types.h"

#include <fmt/format.h>

#include <algorithm>

namespace saola::config {

std::vector<std::string> index_names(std::size_t count) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < count; ++i) names.push_back(fmt::format("{}", i));
  return names;
}

std::optional<std::size_t> index_below(std::size_t count, const std::string& element) {
  std::size_t index = 0;
  const char* end = element.data() + element.size();
  const auto [stop, error] = std::from_chars(element.data(), end, index);
  if (error != std::errc() || stop != end || index >= count) return std::nullopt;
  return index;
}

Child same_object_child(std::string name, TableFunction table) {
  const auto find = [](void* parent, const std::string&) { return parent; };
  const auto elements = [](const void*) { return std::vector<std::string>{""}; };
  return {std::move(name), Shape::kOne, table, elements, find, find};
}

Child certificates_child(std::string name, TableFunction table) {
  Child child{std::move(name),
              Shape::kList,
              table,
              [](const void* parent) {
                const auto& tls = static_cast<const Listen*>(parent)->tls;
                return index_names(tls ? tls->certificates.size() : 0);
              },
              [](void* parent, const std::string& element) -> void* {
                auto& tls = static_cast<Listen*>(parent)->tls;
                const auto index = index_below(tls ? tls->certificates.size() : 0, element);
                return index ? &tls->certificates[*index] : nullptr;
              },
              [](void* parent, const std::string&) -> void* {
                auto& tls = static_cast<Listen*>(parent)->tls;
                if (!tls) tls.emplace();
                return &tls->certificates.emplace_back();
              }};
  child.printed_from = 1;
  return child;
}

Child only_app_child(std::string name, TableFunction table) {
  return {std::move(name),
          Shape::kOne,
          table,
          [](const void* parent) {
            const auto& apps = static_cast<const Config*>(parent)->apps;
            const bool there = apps.size() == 1 && apps.begin()->first == kOnlyApp;
            return there ? std::vector<std::string>{""} : std::vector<std::string>{};
          },
          [](void* parent, const std::string&) -> void* {
            auto& apps = static_cast<Config*>(parent)->apps;
            return apps.size() == 1 ? &apps.begin()->second : nullptr;
          },
          [](void* parent, const std::string&) -> void* {
            auto& apps = static_cast<Config*>(parent)->apps;
            return apps.empty() ? &apps[std::string(kOnlyApp)] : nullptr;
          }};
}

Child named_apps_child(std::string name, TableFunction table) {
  return {std::move(name),
          Shape::kNamed,
          table,
          [](const void* parent) {
            std::vector<std::string> names;
            const auto& apps = static_cast<const Config*>(parent)->apps;
            const bool is_only = apps.size() == 1 && apps.begin()->first == kOnlyApp;
            for (const auto& [app_name, app] : apps) {
              if (!is_only) names.push_back(app_name);
            }
            return names;
          },
          [](void* parent, const std::string& element) -> void* {
            auto& apps = static_cast<Config*>(parent)->apps;
            const auto found = apps.find(element);
            return found == apps.end() ? nullptr : &found->second;
          },
          [](void* parent, const std::string& element) -> void* {
            if (!is_app_name(element)) return nullptr;
            return &static_cast<Config*>(parent)->apps[element];
          }};
}

}  // namespace saola::config
