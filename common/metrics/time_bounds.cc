#include "common/metrics/time_bounds.h"

#include <algorithm>
#include <charconv>
#include <functional>
#include <utility>

namespace saola::metrics {
namespace {

bool is_ascending(const std::vector<std::uint64_t>& bounds) {
  return std::adjacent_find(bounds.begin(), bounds.end(), std::greater_equal<>()) == bounds.end();
}

}  // namespace

TimeBounds::TimeBounds(std::vector<std::uint64_t> nanoseconds)
    : nanoseconds_(std::move(nanoseconds)) {
  SAOLA_CHECK(nanoseconds_.size() <= kMost && is_ascending(nanoseconds_));
  for (const std::uint64_t bound : nanoseconds_) {
    if (!text_.empty()) text_ += ',';
    text_ += std::to_string(bound);
  }
}

Result<TimeBounds> TimeBounds::parse_key(std::string_view text) {
  std::vector<std::uint64_t> bounds;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at != end) {
    std::uint64_t bound = 0;
    const auto [rest, error] = std::from_chars(at, end, bound);
    if (error != std::errc() || bounds.size() == kMost) return fail("not the bounds of buckets");
    bounds.push_back(bound);
    at = rest;
    if (at == end) break;
    if (*at++ != ',' || at == end) return fail("not the bounds of buckets");
  }
  if (!is_ascending(bounds)) return fail("the bounds of buckets do not ascend");
  return TimeBounds(std::move(bounds));
}

}  // namespace saola::metrics
