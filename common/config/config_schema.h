// The one table of configuration keys. The TOML reader, the environment, command-line overrides,
// range checks, the printer, the suggestions and the reference in docs/ all walk it, so a key is
// added by one entry in config_schema.cc (and its member in config.h).
//
// A Table describes the keys of one struct of config.h; a Child says where in its parent that
// struct lives. Objects are passed as void*: a Table's functions take the struct that its entry in
// config_schema.cc was made for, and only walkers that start at root_table() with a Config reach
// them.
//
// A place in a configuration is named by a dotted key: "limits.body", "listen.0.tls.certificate",
// "app.workers", "apps.web.env.DEBUG", "route.2.path".
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "common/config/config.h"

namespace saola::config {

using List = std::vector<std::string>;
using Map = std::map<std::string, std::string>;

// What stands where no key of ours can take it: named for the message ("a date").
struct OtherValue {
  std::string_view kind;
  bool operator==(const OtherValue&) const = default;
};

// { min = 2, max = 8 }; as text "2-8".
struct Between {
  std::int64_t min;
  std::int64_t max;
  bool operator==(const Between&) const = default;
};

// A key's value in the form of the file; monostate: an optional key that is not set.
using Value =
    std::variant<std::monostate, bool, std::int64_t, std::string, List, Map, Between, OtherValue>;

inline constexpr std::string_view kOnlyApp = "app";  // the name of [app] in Config::apps
// [A-Za-z0-9_-], at most 64.
bool is_app_name(std::string_view name);

std::string describe(const Value& value);  // for messages: "5000", "'abc'", "a list"
std::string to_toml(const Value& value);   // not for monostate, Map and OtherValue

// How text (environment, flags) becomes a Value; the setter says whether it fits.
enum class Form : std::uint8_t {
  kText,    // as it is
  kFlag,    // true, false; also 1, 0, yes, no, on, off
  kNumber,  // decimal digits become a number, two numbers "2-8" a Between, anything else stays text
  kList,    // comma-separated
  kMode,    // as it is; an octal number of TOML becomes its digits
  kMap,     // only its elements can be given: "app.env.NAME"
};

struct Key {
  std::string name;
  Form form = Form::kText;
  std::string accepts;  // "a number from 1 to 1024"; completes "must be ..."
  std::string help;     // one line; says the status or action of a limit
  // An error is the whole predicate: "must be a number from 1 to 1024, not 5000". Nothing was set
  // then.
  std::function<std::optional<std::string>(void* object, const Value& value)> set;
  std::function<Value(const void* object)> get;
  bool is_secret = false;
  std::string example = {};  // TOML shown in conf/saola.toml for a key that is not set by default
  // Not empty: this version knows the key and cannot do it; the text says what would be missing.
  // Only a value in `off` is accepted. set and get are empty.
  std::string unsupported = {};
  std::vector<Value> off = {};

  bool is_supported() const { return unsupported.empty(); }
};

// A string of a command line or the environment as a Value of `key`.
Value from_text(const Key& key, std::string_view text);

enum class Shape : std::uint8_t { kOne, kList, kNamed };  // [table], [[table]], [table.NAME]

struct Table;

struct Child {
  std::string name;  // "listen"
  Shape shape = Shape::kOne;
  const Table& (*table)();
  // Names of what exists: "" (kOne), "0", "1", ... (kList), names (kNamed).
  std::function<std::vector<std::string>(const void* parent)> elements;
  // The element's struct, or null if there is none of that name.
  std::function<void*(void* parent, const std::string& element)> find;
  // Makes a new element (kList: at the end, whatever `element` says); null if that is not possible.
  std::function<void*(void* parent, const std::string& element)> add;
  // Elements before this one are printed elsewhere: the first certificate is in [listen.tls].
  std::size_t printed_from = 0;
};

struct Table {
  std::string title;  // as people write it: "[limits]", "[[listen]]", "[listen.tls]"
  std::string help;
  std::vector<Key> keys;
  std::vector<Child> children;
  std::shared_ptr<void> (*make_default)();  // a struct with default values
};

// The top level; its struct is Config.
const Table& root_table();

const Key* find_key(const Table& table, std::string_view name);
const Child* find_child(const Table& table, std::string_view name);

// "limits" + "body" = "limits.body"; empty parts are left out.
std::string join_key(std::string_view a, std::string_view b);

// Calls `visit(table, object, dotted)` for the table and all that exists below it.
void walk(const Table& table, const void* object, const std::string& dotted,
          const std::function<void(const Table&, const void*, const std::string&)>& visit);

// The struct that holds the child's element. The walkers' only const_cast: what find() returns is
// read through a const pointer.
const void* find_const(const Child& child, const void* parent, const std::string& element);

}  // namespace saola::config
