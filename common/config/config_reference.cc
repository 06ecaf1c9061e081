#include "common/config/config_reference.h"

#include <fmt/format.h>

#include <functional>
#include <set>

#include "common/config/config_schema.h"

namespace saola::config {
namespace {

std::string shown_default(const Key& key, const Table& table) {
  if (key.form == Form::kMap) return "";
  const Value value = key.get(table.make_default().get());
  if (std::holds_alternative<std::monostate>(value)) return "";
  return fmt::format("`{}`", to_toml(value));
}

// Each table once, parents first.
void each_table(const Table& table, std::set<const Table*>& seen,
                const std::function<void(const Table&)>& visit) {
  if (!seen.insert(&table).second) return;
  visit(table);
  for (const Child& child : table.children) each_table(child.table(), seen, visit);
}

std::string section(const Table& table) {
  std::string rows;
  for (const Key& key : table.keys) {
    if (!key.is_supported()) continue;
    rows += fmt::format("| `{}` | {} | {} | {} |\n", key.name, shown_default(key, table),
                        key.accepts, key.help);
  }
  if (rows.empty()) return {};
  return fmt::format(
      "\n### `{}`\n\n{}\n\n| key | default | allowed | meaning |\n|---|---|---|---|\n{}",
      table.title, table.help, rows);
}

std::string unsupported_rows(const Table& table) {
  std::string rows;
  for (const Key& key : table.keys) {
    if (!key.is_supported()) {
      rows += fmt::format("| `{}` | `{}` | {} |\n", table.title, key.name, key.unsupported);
    }
  }
  return rows;
}

}  // namespace

std::string print_reference() {
  std::string sections;
  std::string rows;
  std::set<const Table*> seen;
  each_table(root_table(), seen, [&](const Table& table) {
    sections += section(table);
    rows += unsupported_rows(table);
  });
  return sections +
         "\n### Not supported yet\n\nThese keys are known and refused, so that nothing is believed "
         "to "
         "be in force that is not.\nA value that says \"off\" is accepted.\n\n"
         "| table | key | without it |\n|---|---|---|\n" +
         rows + "\n";
}

}  // namespace saola::config
