// TimeBounds: the upper bounds of a histogram's buckets. Pure.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/core/result.h"

namespace saola::metrics {

// The label under which a histogram's key carries its bounds: they are a part of its identity, so
// that counts of other buckets are never mixed. No label of Prometheus has an empty name.
inline constexpr std::string_view kBoundsLabel;

class TimeBounds {
 public:
  static constexpr std::size_t kMost = 32;

  // Ascending, in nanoseconds.
  explicit TimeBounds(std::vector<std::uint64_t> nanoseconds);
  // As they stand in a key ("500000,1000000"); an error if they cannot be bounds.
  static Result<TimeBounds> parse_key(std::string_view text);

  std::span<const std::uint64_t> nanoseconds() const { return nanoseconds_; }
  const std::string& text() const { return text_; }

 private:
  std::vector<std::uint64_t> nanoseconds_;
  std::string text_;
};

}  // namespace saola::metrics
