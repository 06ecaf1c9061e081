// Makers of the places of tables in config_schema.cc (see Child there). Only config_schema.cc needs
// this file.
#pragma once

#include <charconv>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/config/config_schema.h"

namespace saola::config {

using TableFunction = const Table& (*)();

// "0", "1", ... below `count`.
std::vector<std::string> index_names(std::size_t count);
// The index that `element` names; nothing if it is none or not below `count`.
std::optional<std::size_t> index_below(std::size_t count, const std::string& element);

// A struct that is always there.
template <class P, class T>
Child member_child(std::string name, TableFunction table, T P::*pointer) {
  const auto find = [pointer](void* parent, const std::string&) -> void* {
    return &(static_cast<P*>(parent)->*pointer);
  };
  const auto elements = [](const void*) { return std::vector<std::string>{""}; };
  return {std::move(name), Shape::kOne, table, elements, find, find};
}

template <class P, class T>
Child optional_child(std::string name, TableFunction table, std::optional<T> P::*pointer) {
  return {std::move(name),
          Shape::kOne,
          table,
          [pointer](const void* parent) {
            const bool there = (static_cast<const P*>(parent)->*pointer).has_value();
            return there ? std::vector<std::string>{""} : std::vector<std::string>{};
          },
          [pointer](void* parent, const std::string&) -> void* {
            auto& slot = static_cast<P*>(parent)->*pointer;
            return slot ? &*slot : nullptr;
          },
          [pointer](void* parent, const std::string&) -> void* {
            return &(static_cast<P*>(parent)->*pointer).emplace();
          }};
}

template <class P, class T>
Child list_child(std::string name, TableFunction table, std::vector<T> P::*pointer) {
  return {std::move(name),
          Shape::kList,
          table,
          [pointer](const void* parent) {
            return index_names((static_cast<const P*>(parent)->*pointer).size());
          },
          [pointer](void* parent, const std::string& element) -> void* {
            auto& list = static_cast<P*>(parent)->*pointer;
            const auto index = index_below(list.size(), element);
            return index ? &list[*index] : nullptr;
          },
          [pointer](void* parent, const std::string&) -> void* {
            return &(static_cast<P*>(parent)->*pointer).emplace_back();
          }};
}

// Keys that are members of the parent's own struct.
Child same_object_child(std::string name, TableFunction table);
// [[listen.certificates]]: all certificates of a Listen; adding one makes it a TLS listener.
Child certificates_child(std::string name, TableFunction table);
// [app]: the only application, whatever its name; a new one is called "app".
Child only_app_child(std::string name, TableFunction table);
// [apps.NAME]
Child named_apps_child(std::string name, TableFunction table);

}  // namespace saola::config
