#include "common/config/units.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>

#include "common/config/shown_text.h"

namespace saola::config {
namespace {

struct Unit {
  std::string_view name;
  std::uint64_t factor;
};

constexpr std::array<Unit, 5> kDurationUnits{
    {{"d", 86'400'000}, {"h", 3'600'000}, {"m", 60'000}, {"s", 1'000}, {"ms", 1}}};
constexpr std::uint64_t kLongest = 10'000ULL * 86'400'000;

constexpr std::array<Unit, 9> kSizeUnits{{{"TiB", 1ULL << 40},
                                          {"GiB", 1ULL << 30},
                                          {"MiB", 1ULL << 20},
                                          {"KiB", 1ULL << 10},
                                          {"TB", 1'000'000'000'000},
                                          {"GB", 1'000'000'000},
                                          {"MB", 1'000'000},
                                          {"KB", 1'000},
                                          {"B", 1}}};
constexpr std::uint64_t kLargest = std::numeric_limits<std::int64_t>::max();

struct ShortUnit {
  std::string_view name;
  double nanoseconds;
};
constexpr std::array<ShortUnit, 3> kShortUnits{{{"us", 1e3}, {"ms", 1e6}, {"s", 1e9}}};
constexpr double kShortest = 1e3;
constexpr double kLongestShort = 86'400e9;

bool is_digit(char c) { return c >= '0' && c <= '9'; }
char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool same_ignoring_case(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (lower(a[i]) != lower(b[i])) return false;
  }
  return true;
}

// Takes leading digits off `text`; nothing if there are none or the number is too large.
std::optional<std::uint64_t> take_number(std::string_view& text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || text.empty()) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return number;
}

std::string_view take_word(std::string_view& text) {
  std::size_t size = 0;
  while (size < text.size() && !is_digit(text[size])) ++size;
  const std::string_view word = text.substr(0, size);
  text.remove_prefix(size);
  return word;
}

// a * b, or nothing above `limit`.
std::optional<std::uint64_t> product_up_to(std::uint64_t limit, std::uint64_t a, std::uint64_t b) {
  if (b != 0 && a > limit / b) return std::nullopt;
  return a * b;
}

Unexpected<Error> bad_duration(std::string_view text, std::string_view why) {
  return fail(fmt::format("{} {}; write it like 500ms, 30s, 2m or 1h30m", shown(text), why));
}

Unexpected<Error> bad_size(std::string_view text, std::string_view why) {
  return fail(fmt::format("{} {}; write it like 1024, 64KiB, 8MiB or 10MB", shown(text), why));
}

bool starts_with_digit(std::string_view text) { return !text.empty() && is_digit(text.front()); }

}  // namespace

Result<std::chrono::milliseconds> parse_duration(std::string_view text) {
  if (text == "0") return std::chrono::milliseconds(0);
  std::string_view rest = text;
  std::uint64_t total = 0;
  std::size_t next_unit = 0;
  do {
    if (!starts_with_digit(rest)) return bad_duration(text, "is not a duration");
    const std::optional<std::uint64_t> number = take_number(rest);
    if (!number) return bad_duration(text, "is too long");
    const std::string_view word = take_word(rest);
    if (word.empty()) return bad_duration(text, "has no unit");
    std::size_t unit = 0;
    while (unit < kDurationUnits.size() && kDurationUnits[unit].name != word) ++unit;
    if (unit == kDurationUnits.size()) return bad_duration(text, "is not a duration");
    if (unit < next_unit) return bad_duration(text, "has its units out of order");
    next_unit = unit + 1;
    const auto part = product_up_to(kLongest, *number, kDurationUnits[unit].factor);
    if (!part || total + *part > kLongest) return bad_duration(text, "is too long");
    total += *part;
  } while (!rest.empty());
  return std::chrono::milliseconds(static_cast<std::int64_t>(total));
}

std::string format_duration(std::chrono::milliseconds duration) {
  SAOLA_CHECK(duration.count() >= 0);
  auto rest = static_cast<std::uint64_t>(duration.count());
  if (rest == 0) return "0s";
  std::string text;
  for (const Unit& unit : kDurationUnits) {
    if (unit.name == "d" || rest < unit.factor) continue;
    text += fmt::format("{}{}", rest / unit.factor, unit.name);
    rest %= unit.factor;
  }
  return text;
}

Result<std::uint64_t> parse_size(std::string_view text) {
  std::string_view rest = text;
  if (!starts_with_digit(rest)) return bad_size(text, "is not a size");
  const std::optional<std::uint64_t> number = take_number(rest);
  if (!number) return bad_size(text, "is too large");
  std::optional<std::uint64_t> factor;
  if (rest.empty()) factor = 1;
  for (const Unit& unit : kSizeUnits) {
    if (same_ignoring_case(unit.name, rest)) factor = unit.factor;
  }
  if (!factor) return bad_size(text, "is not a size");
  const auto bytes = product_up_to(kLargest, *number, *factor);
  if (!bytes) return bad_size(text, "is too large");
  return *bytes;
}

std::string format_size(std::uint64_t bytes) {
  if (bytes == 0) return "0";
  for (const Unit& unit : kSizeUnits) {
    if (unit.name == "TB") break;  // powers of 1024 come first
    if (bytes % unit.factor == 0) return fmt::format("{}{}", bytes / unit.factor, unit.name);
  }
  return fmt::format("{}", bytes);
}

Result<std::chrono::nanoseconds> parse_short_time(std::string_view text) {
  double number = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number, std::chars_format::fixed);
  const std::string_view name(rest, static_cast<std::size_t>(end - rest));
  const auto* const unit = std::find_if(kShortUnits.begin(), kShortUnits.end(),
                                        [name](const auto& one) { return one.name == name; });
  if (error != std::errc() || unit == kShortUnits.end()) {
    return fail(fmt::format("{} is no time; write it like 500us, 2.5ms or 10s", shown(text)));
  }
  const double nanoseconds = std::round(number * unit->nanoseconds);
  if (!(nanoseconds >= kShortest && nanoseconds <= kLongestShort)) {
    return fail(fmt::format("{} is not between 1us and a day", shown(text)));
  }
  return std::chrono::nanoseconds(static_cast<std::int64_t>(nanoseconds));
}

}  // namespace saola::config
