#include "common/config/config_printer.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "common/config/config_loader.h"
#include "common/config/config_schema.h"
#include "common/config/shown_text.h"

namespace saola::config {
namespace {

constexpr std::string_view kHidden = "***";

std::string toml_key(const std::string& name) {
  const auto is_bare = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
  };
  const bool bare = !name.empty() && std::all_of(name.begin(), name.end(), is_bare);
  return bare ? name : toml_quoted(name);
}

std::string comment_of(const Key& key) { return fmt::format("# {} ({})\n", key.help, key.accepts); }

std::string header(const Child& child, const std::string& path) {
  return child.shape == Shape::kList ? fmt::format("[[{}]]\n", path) : fmt::format("[{}]\n", path);
}

bool has_keys(const Table& table) {
  return std::any_of(table.keys.begin(), table.keys.end(),
                     [](const Key& key) { return key.is_supported(); });
}

// Every setting of a Config as it is.
class Printer {
 public:
  explicit Printer(bool show_secrets) : show_secrets_(show_secrets) {}

  std::string print(const Config& config) {
    for (const Child& child : root_table().children) print_child(child, &config, "");
    return std::move(out_);
  }

 private:
  void print_child(const Child& child, const void* parent, const std::string& above) {
    const std::vector<std::string> elements = child.elements(parent);
    const std::string name = join_key(above, child.name);
    for (std::size_t i = child.printed_from; i < elements.size(); ++i) {
      const std::string path = child.shape == Shape::kNamed ? join_key(name, elements[i]) : name;
      print_table(child, find_const(child, parent, elements[i]), path);
    }
  }

  void print_table(const Child& child, const void* object, const std::string& path) {
    const Table& table = child.table();
    if (!has_keys(table)) return;
    if (!out_.empty()) out_ += '\n';
    out_ += header(child, path);
    for (const Key& key : table.keys) {
      if (key.is_supported() && key.form != Form::kMap) print_key(key, object);
    }
    for (const Key& key : table.keys) {
      if (key.is_supported() && key.form == Form::kMap) print_map(key, object, path);
    }
    for (const Child& inner : table.children) print_child(inner, object, path);
  }

  void print_key(const Key& key, const void* object) {
    const Value value = key.get(object);
    out_ += comment_of(key);
    if (std::holds_alternative<std::monostate>(value)) {
      out_ += fmt::format("# {} is not set\n", key.name);
    } else {
      out_ += fmt::format("{} = {}\n", key.name, to_toml(value));
    }
  }

  void print_map(const Key& key, const void* object, const std::string& path) {
    const auto map = std::get<Map>(key.get(object));
    out_ += fmt::format("\n[{}.{}]\n{}", path, key.name, comment_of(key));
    for (const auto& [name, text] : map) {
      const bool hidden = key.is_secret && !show_secrets_;
      out_ += fmt::format("{} = {}\n", toml_key(name), toml_quoted(hidden ? kHidden : text));
    }
  }

  bool show_secrets_;
  std::string out_;
};

// Every key with its default, commented out; a table that a plain start does not have is commented
// out whole.
class DefaultFile {
 public:
  std::string print() {
    Config config;
    config.listen.emplace_back();
    config.apps[std::string(kOnlyApp)].target = "app:application";
    out_ =
        "# Saola's configuration with every key and its default. Only 'target' must be set: take "
        "what\n"
        "# you need. Durations are written \"500ms\", \"30s\", \"2m\", \"1h30m\"; sizes \"64KiB\", "
        "\"8MiB\",\n"
        "# \"10MB\" or a number of bytes. Paths are relative to this file. See "
        "docs/configuration.md.\n";
    for (const Child& child : root_table().children) print_child(child, &config, "", true);
    return std::move(out_);
  }

 private:
  void print_child(const Child& child, const void* parent, const std::string& above, bool is_live) {
    if (child.shape == Shape::kNamed || !has_keys(child.table())) return;
    const std::vector<std::string> elements = child.elements(parent);
    const std::string path = join_key(above, child.name);
    if (elements.size() > child.printed_from) {
      print_table(child, find_const(child, parent, elements.front()), path, is_live);
    } else {
      print_table(child, child.table().make_default().get(), path, false);
    }
  }

  void print_table(const Child& child, const void* object, const std::string& path, bool is_live) {
    const Table& table = child.table();
    const std::string_view mark = is_live ? "" : "#";
    out_ += fmt::format("\n# {}\n{}", table.help, mark);
    out_ += header(child, path);
    for (const Key& key : table.keys) {
      if (key.is_supported() && key.form != Form::kMap) print_key(key, object, table);
    }
    for (const Key& key : table.keys) {
      if (key.is_supported() && key.form == Form::kMap) {
        out_ += fmt::format("\n# {}\n#[{}.{}]\n#NAME = \"value\"\n", key.help, path, key.name);
      }
    }
    for (const Child& inner : table.children) print_child(inner, object, path, false);
  }

  void print_key(const Key& key, const void* object, const Table& table) {
    const Value value = key.get(object);
    const Value standard = key.get(table.make_default().get());
    const bool is_unset = std::holds_alternative<std::monostate>(value);
    out_ += fmt::format("\n{}{}{} = {}\n", comment_of(key), value == standard ? "#" : "", key.name,
                        is_unset ? key.example : to_toml(value));
  }

  std::string out_;
};

}  // namespace

std::string print_config(const Config& config, bool show_secrets) {
  return Printer(show_secrets).print(config);
}

std::string print_default_file() { return DefaultFile().print(); }

}  // namespace saola::config
