#include "common/config/config_loader.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <optional>

#include "common/config/config_overrides.h"
#include "common/config/config_schema.h"
#include "common/config/key_messages.h"
#include "common/config/paths.h"
#include "common/config/problem_list.h"
#include "common/config/shown_text.h"
#include "common/config/toml_guard.h"
#include "common/core/c_ptr.h"

// The one file that sees toml++, as a header only: its shared library is not needed at run time.
// Its errors are values here, it throws nothing.
#define TOML_HEADER_ONLY 1
#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
#include <toml++/toml.h>

extern char** environ;  // NOLINT: POSIX

namespace saola::config {
namespace {

constexpr std::size_t kMostKeyParts = 32;

// Fills a Config from the tables of one file. Everything wrong goes to `problems`; reading goes on.
class FileReader {
 public:
  FileReader(std::string path, ProblemList& problems)
      : path_(std::move(path)), problems_(problems) {}

  void read(const toml::table& file, Config& config) {
    const toml::node* apps = file.get("apps");
    has_both_apps_ = apps != nullptr && file.get("app") != nullptr;
    if (has_both_apps_) {
      problems_.add("apps", origin(apps->source()), "use either [app] or [apps.NAME], not both");
    }
    read_table(file, root_table(), &config, "");
  }

  Origin origin(const toml::source_region& region) const {
    return at({region.begin.line, region.begin.column});
  }
  Origin at(TextPosition position) const {
    return {fmt::format("{}:{}:{}", path_, position.line, position.column), position.line,
            position.column};
  }

 private:
  void read_table(const toml::table& source, const Table& table, void* object,
                  const std::string& dotted) {
    const std::string title = title_of(table, dotted);
    for (auto&& [name, node] : source) {
      if (const Key* key = find_key(table, name.str())) {
        read_key(node, *key, title, object, join_key(dotted, key->name));
      } else if (find_child(table, name.str()) == nullptr) {
        problems_.add("", origin(name.source()), unknown_key(table, title, name.str()));
      }
    }
    // In the schema's order: what stands in [listen.tls] comes before [[listen.certificates]].
    for (const Child& child : table.children) {
      const toml::node* node = source.get(child.name);
      if (node != nullptr && !(has_both_apps_ && child.name == "apps")) {
        read_child(*node, child, title, object, join_key(dotted, child.name));
      }
    }
  }

  void read_child(const toml::node& node, const Child& child, const std::string& title,
                  void* parent, const std::string& dotted) {
    switch (child.shape) {
      case Shape::kOne:
        if (const toml::table* table = expect_table(node, child.name, title, dotted)) {
          read_element(*table, child, parent, "", dotted);
        }
        return;
      case Shape::kList:
        read_list(node, child, title, parent, dotted);
        return;
      case Shape::kNamed:
        read_named(node, child, title, parent, dotted);
        return;
    }
  }

  void read_named(const toml::node& node, const Child& child, const std::string& title,
                  void* parent, const std::string& dotted) {
    problems_.note(dotted, origin(node.source()));
    const toml::table* named = expect_table(node, child.name, title, dotted);
    if (named == nullptr) return;
    for (auto&& [name, inner] : *named) {
      const std::string element(name.str());
      const std::string place = join_key(dotted, element);
      if (const toml::table* table = expect_table(inner, element, "[" + child.name + "]", place)) {
        read_element(*table, child, parent, element, place);
      }
    }
  }

  void read_list(const toml::node& node, const Child& child, const std::string& title, void* parent,
                 const std::string& dotted) {
    const toml::array* array = node.as_array();
    if (array == nullptr) {
      problems_.add(dotted, origin(node.source()),
                    fmt::format("'{}' {} must be a list of tables: write {}", child.name,
                                in_title(title), child.table().title));
      return;
    }
    for (const toml::node& inner : *array) {
      const std::string element = fmt::format("{}", child.elements(parent).size());
      if (const toml::table* table =
              expect_table(inner, child.name, title, join_key(dotted, element))) {
        read_element(*table, child, parent, element, join_key(dotted, element));
      }
    }
  }

  void read_element(const toml::table& source, const Child& child, void* parent,
                    const std::string& element, const std::string& dotted) {
    void* object = child.find(parent, element);
    if (object == nullptr) object = child.add(parent, element);
    if (object == nullptr) {
      problems_.add(dotted, origin(source.source()),
                    fmt::format("{} cannot name an application: use letters, digits, - and _",
                                shown(element)));
      return;
    }
    problems_.note(dotted, origin(source.source()));
    read_table(source, child.table(), object, dotted);
  }

  const toml::table* expect_table(const toml::node& node, const std::string& name,
                                  const std::string& title, const std::string& dotted) {
    if (const toml::table* table = node.as_table()) return table;
    problems_.add(dotted, origin(node.source()),
                  fmt::format("{} {} must be a table, not {}", shown(name), in_title(title),
                              describe(value_of(node, Form::kText))));
    return nullptr;
  }

  void read_key(const toml::node& node, const Key& key, const std::string& title, void* object,
                const std::string& dotted) {
    problems_.note(dotted, origin(node.source()));
    const bool is_map = key.form == Form::kMap && node.is_table();
    const std::optional<Value> value =
        is_map ? map_of(*node.as_table(), dotted) : std::optional(value_of(node, key.form));
    if (!value) return;
    if (auto wrong = set_key(key, title, object, *value)) {
      problems_.add(dotted, origin(node.source()), *wrong);
    }
  }

  // Nothing if an element is no string. Values are secrets: a wrong one is not repeated.
  std::optional<Value> map_of(const toml::table& table, const std::string& dotted) {
    Map map;
    for (auto&& [name, node] : table) {
      const std::string element = join_key(dotted, name.str());
      problems_.note(element, origin(node.source()));
      if (const auto* text = node.as_string()) {
        map.emplace(name.str(), text->get());
      } else {
        problems_.add(
            element, origin(node.source()),
            fmt::format("{} in [{}] must be a string in quotes", shown(name.str()), dotted));
      }
    }
    return map.size() == table.size() ? std::optional<Value>(map) : std::nullopt;
  }

  static Value value_of(const toml::node& node, Form form) {
    if (const auto* text = node.as_string()) return Value(text->get());
    if (const auto* flag = node.as_boolean()) return Value(flag->get());
    if (const auto* number = node.as_integer()) {
      const bool is_octal = (number->flags() & toml::value_flags::format_as_octal) ==
                            toml::value_flags::format_as_octal;
      if (form == Form::kMode && is_octal) return Value(fmt::format("{:o}", number->get()));
      return Value(number->get());
    }
    if (const auto* array = node.as_array()) {
      List list;
      for (const toml::node& item : *array) {
        if (!item.is_string()) return OtherValue{"a list of other things than strings"};
        list.push_back(item.as_string()->get());
      }
      return Value(list);
    }
    if (const auto* table = node.as_table()) {
      const auto* min = table->get_as<std::int64_t>("min");
      const auto* max = table->get_as<std::int64_t>("max");
      if (min != nullptr && max != nullptr && table->size() == 2) {
        return Between{min->get(), max->get()};
      }
      return Value(Map());
    }
    if (node.is_floating_point()) return OtherValue{"a number with a fraction"};
    return OtherValue{"a date or time"};
  }

  std::string path_;
  ProblemList& problems_;
  bool has_both_apps_ = false;
};

std::string hazard_text(Hazard hazard) {
  switch (hazard) {
    case Hazard::kDeepKey:
      return fmt::format("a key of more than {} parts", kMostKeyParts);
    case Hazard::kUnquoted:
      return "not TOML: a character beyond ASCII outside quotes";
    case Hazard::kAfterBackslash:
      return "a character beyond ASCII after a backslash; write it as an escape like \\u00e9";
  }
  return "not TOML";
}

// False if the text is not TOML: then nothing was read and nothing else can be said.
bool read_text(const LoadInput& input, Config& config, ProblemList& problems) {
  FileReader reader(shown_name(input.path), problems);
  if (const auto found = find_hazard(input.text, kMostKeyParts)) {
    problems.add("", reader.at(found->at), hazard_text(found->hazard));
    return false;
  }
  const toml::parse_result parsed = toml::parse(input.text);
  if (!parsed) {
    const toml::parse_error& error = parsed.error();
    problems.add("", reader.origin(error.source()),
                 fmt::format("not TOML: {}", shown_name(error.description())));
    return false;
  }
  reader.read(parsed.table(), config);
  return true;
}

// A value that could not be read left its default behind. Takes back what that would make look
// wrong: the default address may be another listener's, a pair of files may be complete.
void forget_failed(Config& config, const ProblemList& problems) {
  for (std::size_t i = 0; i < config.listen.size(); ++i) {
    Listen& listen = config.listen[i];
    const auto has_failed = [&problems, i](std::string_view key) {
      return problems.has_failed(fmt::format("listen.{}.{}", i, key));
    };
    if (has_failed("address")) listen.address.clear();
    if (has_failed("trusted")) listen.forwarded = Forwarded::kOff;
    if (has_failed("tls.certificate") || has_failed("tls.key") || has_failed("certificates")) {
      listen.tls.reset();
    }
  }
}

}  // namespace

std::string to_string(const Problem& problem) {
  return problem.where.empty() ? problem.message : problem.where + ": " + problem.message;
}

Result<LoadInput> read_config_file(const std::string& path) {
  constexpr std::size_t kLargest = 16U << 20U;
  const CPtr<std::FILE, std::fclose> file(std::fopen(path.c_str(), "re"));
  if (!file) return Unexpected{system_error("open " + path, errno)};
  LoadInput input;
  input.path = path;
  std::string piece(64U << 10U, '\0');
  while (const std::size_t size = std::fread(piece.data(), 1, piece.size(), file.get())) {
    input.text.append(piece, 0, size);
    if (input.text.size() > kLargest) return fail(path + ": larger than 16MiB");
  }
  if (std::ferror(file.get()) != 0) return Unexpected{system_error("read " + path, errno)};
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string_view text(*variable);
    const std::size_t equals = text.find('=');
    if (equals == std::string_view::npos) continue;
    input.environment.emplace_back(text.substr(0, equals), text.substr(equals + 1));
  }
  return input;
}

Result<Config, std::vector<Problem>> load_config(const LoadInput& input) {
  Config config;
  config.path = input.path;
  config.directory = absolute_directory_of(input.path);
  ProblemList problems(shown_name(input.path));
  if (read_text(input, config, problems)) {
    apply_environment(config, input.environment, problems);
    if (config.listen.empty()) config.listen.emplace_back();
    forget_failed(config, problems);
    for (const Problem& problem : validate(config)) problems.add_found(problem);
  }
  if (!problems.empty()) return Unexpected{problems.take()};
  return config;
}

}  // namespace saola::config
