#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "common/config/config_schema.h"
#include "common/config/shown_text.h"
#include "common/core/check.h"

namespace saola::config {
namespace {

template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};
template <class... F>
Overloaded(F...) -> Overloaded<F...>;

List split_at_commas(std::string_view text) {
  List items;
  while (!text.empty()) {
    const std::size_t comma = text.find(',');
    std::string_view item = text.substr(0, comma);
    while (item.starts_with(' ')) item.remove_prefix(1);
    while (item.ends_with(' ')) item.remove_suffix(1);
    items.emplace_back(item);
    text = comma == std::string_view::npos ? std::string_view() : text.substr(comma + 1);
  }
  return items;
}

std::optional<std::int64_t> whole_number(std::string_view text) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

}  // namespace

bool is_app_name(std::string_view name) {
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
  };
  return !name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), fits);
}

std::string describe(const Value& value) {
  return std::visit(Overloaded{[](std::monostate) { return std::string("nothing"); },
                               [](bool flag) { return std::string(flag ? "true" : "false"); },
                               [](std::int64_t number) { return fmt::format("{}", number); },
                               [](const std::string& text) { return shown(text); },
                               [](const List&) { return std::string("a list"); },
                               [](const Map&) { return std::string("a table"); },
                               [](const Between& between) {
                                 return fmt::format("{{ min = {}, max = {} }}", between.min,
                                                    between.max);
                               },
                               [](const OtherValue& other) { return std::string(other.kind); }},
                    value);
}

std::string to_toml(const Value& value) {
  if (const auto* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
  if (const auto* number = std::get_if<std::int64_t>(&value)) return fmt::format("{}", *number);
  if (const auto* text = std::get_if<std::string>(&value)) return toml_quoted(*text);
  if (const auto* between = std::get_if<Between>(&value)) {
    return fmt::format("{{ min = {}, max = {} }}", between->min, between->max);
  }
  const auto* list = std::get_if<List>(&value);
  SAOLA_CHECK(list != nullptr);
  std::string out = "[";
  for (const std::string& item : *list) out += (out.size() > 1 ? ", " : "") + toml_quoted(item);
  return out + "]";
}

Value from_text(const Key& key, std::string_view text) {
  switch (key.form) {
    case Form::kFlag:
      for (const std::string_view yes : {"true", "1", "yes", "on"}) {
        if (text == yes) return true;
      }
      for (const std::string_view no : {"false", "0", "no", "off"}) {
        if (text == no) return false;
      }
      return std::string(text);
    case Form::kNumber:
      if (const auto number = whole_number(text)) return *number;
      if (const auto dash = text.find('-', 1); dash != std::string_view::npos) {
        const auto min = whole_number(text.substr(0, dash));
        const auto max = whole_number(text.substr(dash + 1));
        if (min && max) return Between{*min, *max};
      }
      return std::string(text);
    case Form::kList:
      return split_at_commas(text);
    case Form::kText:
    case Form::kMode:
    case Form::kMap:
      return std::string(text);
  }
  SAOLA_UNREACHABLE();
}

const Key* find_key(const Table& table, std::string_view name) {
  for (const Key& key : table.keys) {
    if (key.name == name) return &key;
  }
  return nullptr;
}

const Child* find_child(const Table& table, std::string_view name) {
  for (const Child& child : table.children) {
    if (child.name == name) return &child;
  }
  return nullptr;
}

std::string join_key(std::string_view a, std::string_view b) {
  if (a.empty() || b.empty()) return std::string(a.empty() ? b : a);
  return fmt::format("{}.{}", a, b);
}

const void* find_const(const Child& child, const void* parent, const std::string& element) {
  return child.find(const_cast<void*>(parent), element);  // NOLINT: find() itself changes nothing
}

void walk(const Table& table, const void* object, const std::string& dotted,
          const std::function<void(const Table&, const void*, const std::string&)>& visit) {
  visit(table, object, dotted);
  for (const Child& child : table.children) {
    for (const std::string& element : child.elements(object)) {
      walk(child.table(), find_const(child, object, element),
           join_key(join_key(dotted, child.name), element), visit);
    }
  }
}

}  // namespace saola::config
