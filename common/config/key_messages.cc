#include "common/config/key_messages.h"

#include <fmt/format.h>

#include <algorithm>

#include "common/config/shown_text.h"
#include "common/config/suggestion.h"

namespace saola::config {
namespace {

// The title of the first table below `table` that has a supported key of this name.
std::string table_with_key(const Table& table, std::string_view name) {
  const Key* key = find_key(table, name);
  if (key != nullptr && key->is_supported()) return table.title;
  for (const Child& child : table.children) {
    std::string found = table_with_key(child.table(), name);
    if (!found.empty()) return found;
  }
  return {};
}

}  // namespace

std::string title_of(const Table& table, std::string_view dotted) {
  constexpr std::string_view kNamed = "apps.";
  return dotted.starts_with(kNamed) ? fmt::format("[{}]", dotted) : table.title;
}

std::string in_title(std::string_view title) {
  return fmt::format("{} {}", title.starts_with('[') ? "in" : "at", title);
}

std::string unknown_key(const Table& table, std::string_view title, std::string_view name) {
  std::vector<std::string> names;
  for (const Key& key : table.keys) {
    if (key.is_supported()) names.push_back(key.name);
  }
  for (const Child& child : table.children) names.push_back(child.name);
  std::string message = fmt::format("unknown key {} {}", shown(name), in_title(title));
  const std::string home = table_with_key(root_table(), name);
  const std::string_view nearest = nearest_name(name, names);
  if (!home.empty()) return message + fmt::format("; it belongs in {}", home);
  if (!nearest.empty()) return message + fmt::format("; did you mean '{}'?", nearest);
  return message;
}

std::optional<std::string> set_key(const Key& key, std::string_view title, void* object,
                                   const Value& value) {
  if (!key.is_supported()) {
    if (std::find(key.off.begin(), key.off.end(), value) != key.off.end()) return std::nullopt;
    return fmt::format("'{}' {} is not supported yet: {}", key.name, in_title(title),
                       key.unsupported);
  }
  const std::optional<std::string> wrong = key.set(object, value);
  if (!wrong) return std::nullopt;
  return fmt::format("'{}' {} {}", key.name, in_title(title), *wrong);
}

}  // namespace saola::config
