#include "common/config/config_overrides.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <memory>

#include "common/config/child_types.h"
#include "common/config/key_messages.h"
#include "common/config/shown_text.h"
#include "common/config/suggestion.h"

namespace saola::config {
namespace {

constexpr std::string_view kPrefix = "SAOLA_";
// Set by the processes for each other; names the file on the command line's behalf.
constexpr std::array<std::string_view, 3> kNoSettings{"SAOLA_ROLE", "SAOLA_CONFIG",
                                                      "SAOLA_UPGRADE"};

using Message = std::optional<std::string>;

// Takes the part before the first dot off `rest`.
std::string_view take_part(std::string_view& rest) {
  const std::size_t dot = rest.find('.');
  const std::string_view part = rest.substr(0, dot);
  rest = dot == std::string_view::npos ? std::string_view() : rest.substr(dot + 1);
  return part;
}

std::string names_of_apps(const Config& config) {
  std::string names;
  for (const auto& [name, app] : config.apps) names += (names.empty() ? "" : ", ") + name;
  return names;
}

// Walks down a dotted key to a struct and sets one of its keys.
class DottedKey {
 public:
  DottedKey(Config& config, std::string_view dotted) : config_(config), rest_(dotted) {}

  Message set(std::string_view text) {
    while (!rest_.empty()) {
      const std::string_view part = take_part(rest_);
      const std::string title = title_of(*table_, walked_);
      if (const Key* key = find_key(*table_, part)) return set_here(*key, title, text);
      const Child* child = find_child(*table_, part);
      if (child == nullptr) return unknown_key(*table_, title, part);
      if (Message wrong = enter(*child)) return wrong;
    }
    return fmt::format("{} is a table; name one of its keys", title_of(*table_, walked_));
  }

 private:
  Message enter(const Child& child) {
    const std::string element(child.shape == Shape::kOne ? std::string_view() : take_part(rest_));
    walked_ = join_key(join_key(walked_, child.name), element);
    if (child.shape == Shape::kList && !index_below(child.elements(object_).size() + 1, element)) {
      return fmt::format("there is no {}: {} are numbered from 0, and there are {}",
                         shown_name(walked_), child.table().title, child.elements(object_).size());
    }
    void* object = child.find(object_, element);
    if (object == nullptr) object = child.add(object_, element);
    if (object == nullptr) {
      return child.shape == Shape::kOne
                 ? fmt::format("there are several applications; use apps.NAME with one of {}",
                               names_of_apps(config_))
                 : fmt::format("{} cannot name an application", shown(element));
    }
    table_ = &child.table();
    object_ = object;
    return std::nullopt;
  }

  Message set_here(const Key& key, const std::string& title, std::string_view text) {
    if (key.form == Form::kMap && key.is_supported()) {
      Map map = std::get<Map>(key.get(object_));
      map[std::string(rest_)] = text;
      return set_key(key, title, object_, Value(map));
    }
    if (!rest_.empty()) return fmt::format("'{}' in {} is not a table", key.name, title);
    return set_key(key, title, object_, from_text(key, text));
  }

  Config& config_;
  std::string_view rest_;
  std::string walked_;
  const Table* table_ = &root_table();
  void* object_ = &config_;
};

// Sets all of it or nothing.
Message set_dotted(Config& config, std::string_view dotted, std::string_view text) {
  Config changed = config;
  if (Message wrong = DottedKey(changed, dotted).set(text)) return wrong;
  config = std::move(changed);
  return std::nullopt;
}

std::string variable_part(std::string_view name) {
  std::string out;
  for (const char c : name) {
    const bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    const bool is_digit = c >= '0' && c <= '9';
    out += is_letter ? static_cast<char>(c & ~0x20) : is_digit ? c : '_';
  }
  return out;
}

// The variables that mean something for a configuration, with their dotted keys.
struct Variables {
  std::map<std::string, std::string> keys;
  std::map<std::string, std::string> prefixes;  // "SAOLA_APP_ENV_" -> "app.env"
};

void collect(const Table& table, const void* object, const std::string& variable,
             const std::string& dotted, Variables& out) {
  for (const Key& key : table.keys) {
    const std::string name = variable + variable_part(key.name);
    auto& map = key.form == Form::kMap ? out.prefixes : out.keys;
    map.emplace(key.form == Form::kMap ? name + "_" : name, join_key(dotted, key.name));
  }
  for (const Child& child : table.children) {
    std::vector<std::string> elements = child.elements(object);
    if (child.shape == Shape::kList) elements.push_back(fmt::format("{}", elements.size()));
    if (child.shape == Shape::kOne) elements = {""};
    for (const std::string& element : elements) {
      const std::shared_ptr<void> made = child.table().make_default();
      const void* inner = find_const(child, object, element);
      std::string below = variable + variable_part(child.name) + "_";
      if (!element.empty()) below += variable_part(element) + "_";
      collect(child.table(), inner == nullptr ? made.get() : inner, below,
              join_key(join_key(dotted, child.name), element), out);
    }
  }
}

Variables variables_of(const Config& config) {
  Variables out;
  collect(root_table(), &config, std::string(kPrefix), "", out);
  return out;
}

// The dotted key of a variable; empty if it has none.
std::string dotted_key_of(const Variables& known, const std::string& variable) {
  if (const auto key = known.keys.find(variable); key != known.keys.end()) return key->second;
  for (const auto& [prefix, dotted] : known.prefixes) {
    if (variable.size() > prefix.size() && variable.starts_with(prefix)) {
      return join_key(dotted, std::string_view(variable).substr(prefix.size()));
    }
  }
  return {};
}

// "app.workers" as validate() calls it when the only application has a name.
std::string canonical(const Config& config, const std::string& dotted) {
  constexpr std::string_view kApp = "app.";
  const bool is_renamed = config.apps.size() == 1 && config.apps.begin()->first != kOnlyApp;
  if (!is_renamed || !dotted.starts_with(kApp)) return dotted;
  return fmt::format("apps.{}.{}", config.apps.begin()->first, dotted.substr(kApp.size()));
}

// What Kubernetes puts into every container for a service whose name begins with "saola":
// SAOLA_SERVICE_HOST, SAOLA_WEB_PORT=tcp://10.0.0.1:80, SAOLA_PORT_80_TCP_ADDR, ... Not meant for
// us.
bool is_service_link(std::string_view name, std::string_view value) {
  if (name.ends_with("_SERVICE_HOST") || name.find("_SERVICE_PORT") != std::string_view::npos) {
    return true;
  }
  for (const std::string_view scheme : {"tcp://", "udp://", "sctp://"}) {
    if (name.find("_PORT") != std::string_view::npos && value.starts_with(scheme)) return true;
  }
  for (const std::string_view part : {"_TCP_", "_UDP_", "_SCTP_"}) {
    const std::size_t at = name.find(part);
    if (at == std::string_view::npos || name.find("_PORT_") > at) continue;
    const std::string_view what = name.substr(at + part.size());
    if (what == "ADDR" || what == "PORT" || what == "PROTO") return true;
  }
  return false;
}

std::string unknown_variable(const Variables& known, const std::string& variable) {
  std::vector<std::string> names;
  for (const auto& [name, dotted] : known.keys) names.push_back(name);
  const std::string_view nearest = nearest_name(variable, names);
  return nearest.empty() ? "no setting has this name"
                         : fmt::format("no setting has this name; did you mean {}?", nearest);
}

}  // namespace

std::optional<Problem> apply_override(Config& config, std::string_view dotted_key,
                                      std::string_view value) {
  if (auto wrong = set_dotted(config, dotted_key, value)) {
    return Problem{shown_name(dotted_key), *wrong};
  }
  return std::nullopt;
}

void apply_environment(Config& config, const EnvironmentView& environment, ProblemList& problems) {
  EnvironmentView left;
  for (const auto& variable : environment) {
    const bool is_setting =
        std::find(kNoSettings.begin(), kNoSettings.end(), variable.first) == kNoSettings.end();
    if (variable.first.starts_with(kPrefix) && is_setting) left.push_back(variable);
  }
  std::sort(left.begin(), left.end());
  // SAOLA_LISTEN_1_... means something only once there is a listener 0, whatever the order.
  for (bool has_progress = true; has_progress;) {
    EnvironmentView unknown;
    for (const auto& [name, text] : left) {
      const std::string dotted = dotted_key_of(variables_of(config), name);
      if (dotted.empty()) {
        if (!is_service_link(name, text)) unknown.emplace_back(name, text);
        continue;
      }
      const Origin origin{shown_name(name), kAfterTheFile, 0};
      problems.note(canonical(config, dotted), origin);
      if (auto wrong = set_dotted(config, dotted, text)) problems.add(dotted, origin, *wrong);
    }
    has_progress = unknown.size() < left.size();
    left = std::move(unknown);
  }
  for (const auto& [name, text] : left) {
    problems.add("", {shown_name(name), kAfterTheFile, 0},
                 unknown_variable(variables_of(config), name));
  }
}

}  // namespace saola::config
