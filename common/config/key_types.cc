#include "common/config/key_types.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <variant>

#include "common/config/address.h"
#include "common/config/shown_text.h"
#include "common/config/units.h"
#include "common/core/log_outlet.h"
#include "common/core/record_style.h"

namespace saola::config {
namespace {

using Complaint = std::optional<std::string>;

Complaint must_be(const std::string& accepts, const Value& got) {
  return fmt::format("must be {}, not {}", accepts, describe(got));
}

Complaint must_be_because(const std::string& accepts, const std::string& detail) {
  return fmt::format("must be {}: {}", accepts, detail);
}

// "a", "b" or "c"
std::string alternatives(const Words& words) {
  std::string text;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i > 0) text += i + 1 == words.size() ? " or " : ", ";
    text += words[i];
  }
  return text;
}

Words quoted(const Words& words) {
  Words out;
  for (const std::string& word : words) out.push_back(toml_quoted(word));
  return out;
}

Complaint check_text(const std::string& accepts, const std::string& text, TextCheck check) {
  if (!is_clean_text(text)) {
    return must_be_because(accepts, fmt::format("{} is not UTF-8 text without NUL", shown(text)));
  }
  if (const Complaint wrong = check(text)) return must_be_because(accepts, *wrong);
  return std::nullopt;
}

Complaint check_list(const std::string& accepts, const List& list, TextCheck check) {
  for (const std::string& item : list) {
    if (Complaint wrong = check_text(accepts, item, check)) return wrong;
  }
  return std::nullopt;
}

Complaint check_env(const Map& map) {
  for (const auto& [name, text] : map) {
    if (name.empty() || name.find('=') != std::string::npos || !is_clean_text(name)) {
      return fmt::format("cannot have the variable name {}", shown(name));
    }
    if (!is_clean_text(text)) {
      return fmt::format("must be UTF-8 text without NUL in {}", shown(name));
    }
  }
  return std::nullopt;
}

// Octal digits with or without "0o", up to 0777.
std::optional<std::int64_t> parse_mode(std::string_view text) {
  if (text.starts_with("0o")) text.remove_prefix(2);
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, 8);
  const bool whole = error == std::errc() && end == text.data() + text.size() && !text.empty();
  if (!whole || number < 0 || number > 0777) return std::nullopt;
  return number;
}

}  // namespace

std::optional<std::string> check_nothing(std::string_view) { return std::nullopt; }

std::optional<std::string> check_address(std::string_view text) {
  if (text.empty()) return std::nullopt;
  auto parsed = parse_address(text);
  return parsed ? std::nullopt : std::optional(parsed.error().message);
}

std::optional<std::string> check_trusted(std::string_view text) {
  auto checked = check_network(text);
  return checked ? std::nullopt : std::optional(checked.error().message);
}

std::optional<std::string> check_short_time(std::string_view text) {
  auto checked = parse_short_time(text);
  return checked ? std::nullopt : std::optional(checked.error().message);
}

std::optional<std::string> check_field_value(std::string_view text) {
  const auto fits = [](char c) { return c >= ' ' && c < 0x7f; };
  if (std::all_of(text.begin(), text.end(), fits)) return std::nullopt;
  return fmt::format("{} has a character that no HTTP field may have", shown(text));
}

std::optional<std::string> check_route_path(std::string_view text) {
  if (text.starts_with('/')) return std::nullopt;
  return fmt::format("{} does not start with /", shown(text));
}

std::optional<std::string> check_ready_path(std::string_view text) {
  if (text.empty()) return std::nullopt;
  if (text.find_first_of(" \t#") != std::string_view::npos) {
    return fmt::format("{} is not a path as in a request line", shown(text));
  }
  if (auto wrong = check_route_path(text)) return wrong;
  return check_field_value(text);
}

std::optional<std::string> check_route_host(std::string_view text) {
  if (text.starts_with("*.")) text.remove_prefix(2);
  if (text.find_first_of("/:* \t") == std::string_view::npos) return check_field_value(text);
  return fmt::format("{} is not a host name without port, or *. and one", shown(text));
}

std::optional<std::string> check_syslog_address(std::string_view text) {
  LogAddress address;
  if (text.empty() || parse_syslog_address(text, address)) return std::nullopt;
  return fmt::format("{} is not unix:PATH, udp:HOST:PORT or tcp:HOST:PORT", shown(text));
}

std::optional<std::string> check_syslog_facility(std::string_view text) {
  if (syslog_facility(text)) return std::nullopt;
  return fmt::format("{} is no facility such as daemon, user or local0", shown(text));
}

// RFC 5424 section 6: APP-NAME.
std::optional<std::string> check_syslog_tag(std::string_view text) {
  const auto fits = [](char c) { return c > ' ' && c < 0x7f; };
  constexpr std::size_t kLongest = 48;
  if (!text.empty() && text.size() <= kLongest && std::all_of(text.begin(), text.end(), fits)) {
    return std::nullopt;
  }
  return fmt::format("{} is not 1 to {} printable characters without blanks", shown(text),
                     kLongest);
}

Key text_key(std::string name, std::string accepts, std::string help, TextCheck check,
             Access<std::string> access) {
  Key key{std::move(name), Form::kText, accepts, std::move(help), {}, {}};
  key.set = [accepts = std::move(accepts), check, set = std::move(access.set)](
                void* object, const Value& value) -> Complaint {
    const auto* string = std::get_if<std::string>(&value);
    if (string == nullptr) return must_be(accepts, value);
    if (Complaint wrong = check_text(accepts, *string, check)) return wrong;
    set(object, *string);
    return std::nullopt;
  };
  key.get = [get = std::move(access.get)](const void* object) { return Value(get(object)); };
  return key;
}

Key number_key(std::string name, Range range, std::string help, Access<std::int64_t> access) {
  const std::string accepts = fmt::format("a number from {} to {}", range.min, range.max);
  Key key{std::move(name), Form::kNumber, accepts, std::move(help), {}, {}};
  key.set = [accepts, range, set = std::move(access.set)](void* object,
                                                          const Value& value) -> Complaint {
    const auto* n = std::get_if<std::int64_t>(&value);
    if (n == nullptr || *n < range.min || *n > range.max) return must_be(accepts, value);
    set(object, *n);
    return std::nullopt;
  };
  key.get = [get = std::move(access.get)](const void* object) { return Value(get(object)); };
  return key;
}

Key number_of_key(std::string name, std::vector<std::int64_t> numbers, std::string help,
                  Access<std::int64_t> access) {
  Words allowed;
  for (const std::int64_t n : numbers) allowed.push_back(fmt::format("{}", n));
  const std::string accepts = alternatives(allowed);
  Key key{std::move(name), Form::kNumber, accepts, std::move(help), {}, {}};
  key.set = [accepts, numbers = std::move(numbers), set = std::move(access.set)](
                void* object, const Value& value) -> Complaint {
    const auto* n = std::get_if<std::int64_t>(&value);
    if (n == nullptr || std::find(numbers.begin(), numbers.end(), *n) == numbers.end()) {
      return must_be(accepts, value);
    }
    set(object, *n);
    return std::nullopt;
  };
  key.get = [get = std::move(access.get)](const void* object) { return Value(get(object)); };
  return key;
}

Key worker_count_key(std::string name, std::string help, Access<Between> access) {
  constexpr std::int64_t kMost = 1024;
  const std::string accepts = fmt::format(
      "\"auto\", a number from 1 to {} or {{ min = A, max = B }} with two such numbers", kMost);
  Key key{std::move(name), Form::kNumber, accepts, std::move(help), {}, {}};
  key.set = [accepts, set = std::move(access.set)](void* object, const Value& value) -> Complaint {
    Between count{0, 0};  // "auto"
    if (const auto* n = std::get_if<std::int64_t>(&value)) {
      if (*n < 1 || *n > kMost) return must_be(accepts, value);
      count.min = *n;
    } else if (const auto* between = std::get_if<Between>(&value)) {
      const bool in_range = between->min >= 1 && between->max >= between->min;
      if (!in_range || between->max > kMost) return must_be(accepts, value);
      count = {between->min, between->max > between->min ? between->max : 0};
    } else if (value != Value(std::string("auto"))) {
      return must_be(accepts, value);
    }
    set(object, count);
    return std::nullopt;
  };
  key.get = [get = std::move(access.get)](const void* object) {
    const Between count = get(object);
    if (count.max != 0) return Value(count);
    return count.min == 0 ? Value(std::string("auto")) : Value(count.min);
  };
  return key;
}

Key flag_key(std::string name, std::string help, Access<bool> access) {
  Key key{std::move(name), Form::kFlag, "true or false", std::move(help), {}, {}};
  key.set = [set = std::move(access.set)](void* object, const Value& value) -> Complaint {
    const auto* flag = std::get_if<bool>(&value);
    if (flag == nullptr) return must_be("true or false", value);
    set(object, *flag);
    return std::nullopt;
  };
  key.get = [get = std::move(access.get)](const void* object) { return Value(get(object)); };
  return key;
}

Key duration_key(std::string name, Span span, std::string help,
                 Access<std::optional<std::chrono::milliseconds>> access) {
  const std::string accepts =
      fmt::format("a duration from {} up to {}{}", format_duration(span.min),
                  format_duration(span.max), span.zero == Zero::kOff ? ", or \"off\"" : "");
  Key key{std::move(name), Form::kText, accepts, std::move(help), {}, {}};
  key.set = [accepts, span, set = std::move(access.set)](void* object,
                                                         const Value& value) -> Complaint {
    std::chrono::milliseconds duration{0};
    const auto* text = std::get_if<std::string>(&value);
    const bool is_off = text != nullptr && *text == "off" && span.zero == Zero::kOff;
    if (text != nullptr && !is_off) {
      auto parsed = parse_duration(*text);
      if (!parsed) return must_be_because(accepts, parsed.error().message);
      duration = *parsed;
    } else if (text == nullptr && value != Value(std::int64_t{0})) {
      return must_be(accepts, value);
    }
    const bool is_zero = duration.count() == 0 && span.zero != Zero::kNumber;
    if (!is_zero && (duration < span.min || duration > span.max)) return must_be(accepts, value);
    set(object, duration);
    return std::nullopt;
  };
  key.get = [span, get = std::move(access.get)](const void* object) {
    const std::optional<std::chrono::milliseconds> duration = get(object);
    if (!duration) return Value();
    if (duration->count() < 0) return Value(fmt::format("{}ms", duration->count()));
    if (duration->count() == 0 && span.zero == Zero::kOff) return Value(std::string("off"));
    return Value(format_duration(*duration));
  };
  return key;
}

Key size_key(std::string name, SizeRange range, std::string help,
             Access<std::optional<std::uint64_t>> access) {
  const std::string from = range.min == 0 ? "" : fmt::format(" from {}", format_size(range.min));
  const std::string accepts = fmt::format("a size{} up to {}{}", from, format_size(range.max),
                                          range.zero == Zero::kOff ? ", or \"off\"" : "");
  Key key{std::move(name), Form::kText, accepts, std::move(help), {}, {}};
  key.set = [accepts, range, set = std::move(access.set)](void* object,
                                                          const Value& value) -> Complaint {
    std::uint64_t bytes = 0;
    const auto* text = std::get_if<std::string>(&value);
    const bool is_off = text != nullptr && *text == "off" && range.zero == Zero::kOff;
    if (text != nullptr && !is_off) {
      auto parsed = parse_size(*text);
      if (!parsed) return must_be_because(accepts, parsed.error().message);
      bytes = *parsed;
    } else if (text == nullptr) {
      const auto* n = std::get_if<std::int64_t>(&value);
      if (n == nullptr || *n < 0) return must_be(accepts, value);
      bytes = static_cast<std::uint64_t>(*n);
    }
    const bool is_zero = bytes == 0 && range.zero == Zero::kOff;
    if (!is_zero && (bytes < range.min || bytes > range.max)) return must_be(accepts, value);
    set(object, bytes);
    return std::nullopt;
  };
  key.get = [range, get = std::move(access.get)](const void* object) {
    const std::optional<std::uint64_t> bytes = get(object);
    if (!bytes) return Value();
    if (*bytes == 0 && range.zero == Zero::kOff) return Value(std::string("off"));
    const std::string text = format_size(*bytes);
    const bool has_unit = text.find_first_not_of("0123456789B") != std::string::npos;
    return has_unit ? Value(text) : Value(static_cast<std::int64_t>(*bytes));
  };
  return key;
}

Key mode_key(std::string name, std::string help, Access<std::int64_t> access) {
  const std::string accepts = "an octal mode as a string, such as \"0660\"";
  Key key{std::move(name), Form::kMode, accepts, std::move(help), {}, {}};
  key.set = [accepts, set = std::move(access.set)](void* object, const Value& value) -> Complaint {
    const auto* text = std::get_if<std::string>(&value);
    const std::optional<std::int64_t> parsed = text ? parse_mode(*text) : std::nullopt;
    if (!parsed) return must_be(accepts, value);
    set(object, *parsed);
    return std::nullopt;
  };
  key.get = [get = std::move(access.get)](const void* object) {
    return Value(fmt::format("{:04o}", get(object)));
  };
  return key;
}

Key word_key(std::string name, Words words, std::string help, Access<std::size_t> access) {
  const std::string accepts = alternatives(quoted(words));
  Key key{std::move(name), Form::kText, accepts, std::move(help), {}, {}};
  key.set = [accepts, words, set = std::move(access.set)](void* object,
                                                          const Value& value) -> Complaint {
    const auto* text = std::get_if<std::string>(&value);
    const auto found = text ? std::find(words.begin(), words.end(), *text) : words.end();
    if (found == words.end()) return must_be(accepts, value);
    set(object, static_cast<std::size_t>(found - words.begin()));
    return std::nullopt;
  };
  key.get = [words = std::move(words), get = std::move(access.get)](const void* object) {
    return Value(words.at(get(object)));
  };
  return key;
}

namespace {

// "10%", "0.5%", "100%": parts per million.
std::optional<std::uint32_t> parse_share(std::string_view text) {
  if (!text.ends_with('%')) return std::nullopt;
  text.remove_suffix(1);
  constexpr std::uint32_t kPerPercent = 10'000;
  const std::size_t point = text.find('.');
  const std::string_view whole = text.substr(0, point);
  const std::string_view fraction =
      point == std::string_view::npos ? std::string_view("0") : text.substr(point + 1);
  if (whole.empty() || whole.size() > 3 || fraction.empty() || fraction.size() > 4) {
    return std::nullopt;
  }
  std::uint32_t share = 0;
  for (const char c : whole) {
    if (c < '0' || c > '9') return std::nullopt;
    share = share * 10 + static_cast<std::uint32_t>(c - '0');
  }
  share *= kPerPercent;
  std::uint32_t unit = kPerPercent;
  for (const char c : fraction) {
    if (c < '0' || c > '9') return std::nullopt;
    unit /= 10;
    share += static_cast<std::uint32_t>(c - '0') * unit;
  }
  return share <= 100 * kPerPercent ? std::optional(share) : std::nullopt;
}

std::string format_share(std::uint32_t share) {
  std::string text = fmt::format("{}.{:04}", share / 10'000, share % 10'000);
  while (text.ends_with('0')) text.pop_back();
  if (text.ends_with('.')) text.pop_back();
  return text + '%';
}

}  // namespace

Key share_key(std::string name, std::string help, Access<std::uint32_t> access) {
  const std::string accepts = "a share from \"0%\" to \"100%\"";
  Key key{std::move(name), Form::kText, accepts, std::move(help), {}, {}};
  key.set = [accepts, set = std::move(access.set)](void* object, const Value& value) -> Complaint {
    const auto* text = std::get_if<std::string>(&value);
    const auto known = text != nullptr ? parse_share(*text) : std::nullopt;
    if (!known) return must_be(accepts, value);
    set(object, *known);
    return std::nullopt;
  };
  key.get = [get = std::move(access.get)](const void* object) {
    return Value(format_share(get(object)));
  };
  return key;
}

Key list_key(std::string name, std::string accepts, std::string help, TextCheck check,
             Access<List> access) {
  Key key{std::move(name), Form::kList, accepts, std::move(help), {}, {}};
  key.set = [accepts = std::move(accepts), check, set = std::move(access.set)](
                void* object, const Value& value) -> Complaint {
    const auto* list = std::get_if<List>(&value);
    if (list == nullptr) return must_be(accepts, value);
    if (Complaint wrong = check_list(accepts, *list, check)) return wrong;
    set(object, *list);
    return std::nullopt;
  };
  key.get = [get = std::move(access.get)](const void* object) { return Value(get(object)); };
  return key;
}

Key words_key(std::string name, Words words, std::string help, Access<List> access) {
  const std::string accepts = fmt::format("a list of {}", alternatives(quoted(words)));
  Key key = list_key(std::move(name), accepts, std::move(help), check_nothing, std::move(access));
  key.set = [accepts, words = std::move(words), set = key.set](void* object,
                                                               const Value& value) -> Complaint {
    if (const auto* list = std::get_if<List>(&value)) {
      for (auto item = list->begin(); item != list->end(); ++item) {
        if (std::find(words.begin(), words.end(), *item) == words.end()) {
          return must_be(accepts, Value(*item));
        }
        if (std::find(list->begin(), item, *item) != item) {
          return must_be_because(accepts, fmt::format("{} is there twice", shown(*item)));
        }
      }
    }
    return set(object, value);
  };
  return key;
}

Key map_key(std::string name, std::string help, Access<Map> access) {
  const std::string accepts = "a table of strings";
  Key key{std::move(name), Form::kMap, accepts, std::move(help), {}, {}};
  key.is_secret = true;
  key.set = [accepts, set = std::move(access.set)](void* object, const Value& value) -> Complaint {
    const auto* map = std::get_if<Map>(&value);
    if (map == nullptr) return must_be(accepts, value);
    if (Complaint wrong = check_env(*map)) return wrong;
    set(object, *map);
    return std::nullopt;
  };
  key.get = [get = std::move(access.get)](const void* object) { return Value(get(object)); };
  return key;
}

Key not_yet(std::string name, std::string missing, std::vector<Value> off) {
  Key key{std::move(name), Form::kText, "", "", {}, {}};
  key.unsupported = std::move(missing);
  key.off = std::move(off);
  return key;
}

}  // namespace saola::config
