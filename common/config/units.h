// Durations and sizes as people write them. Pure; printing and parsing are exact inverses.
//
//   duration:  "500ms" "30s" "2m" "1h30m" "1d", largest unit first, each at most once; "0" is zero
//   size:      "8MiB" "64KiB" (powers of 1024), "10MB" "8KB" (powers of 1000), "1024" or "1024B";
//   any case
//
// Nothing else is taken: no fractions, no spaces, no "8k" (it means 1000 to some and 1024 to
// others). A number without a unit is a size in bytes, but not a duration.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "common/core/result.h"

namespace saola::config {

// At most 10,000 days. The error says what is accepted: "'30' has no unit; write it like 500ms,
// ...".
Result<std::chrono::milliseconds> parse_duration(std::string_view text);
// Largest unit (up to hours) first: "1h30m", "1s500ms", "0s". `duration` is not negative.
std::string format_duration(std::chrono::milliseconds duration);

// A part of a second or a few: "500us" "2.5ms" "10s"; from one microsecond to a day.
Result<std::chrono::nanoseconds> parse_short_time(std::string_view text);

// Below 2^63, so that every size is also a TOML integer.
Result<std::uint64_t> parse_size(std::string_view text);
// The largest power of 1024 that divides it, or plain bytes: "8MiB", "8190".
std::string format_size(std::uint64_t bytes);

}  // namespace saola::config
