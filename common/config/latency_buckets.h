// [admin] latency_buckets as numbers. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "common/config/config.h"

namespace saola::config {

inline constexpr std::size_t kMostLatencyBuckets = 32;

// Nanoseconds; of a configuration that validate() finds nothing wrong with: ascending.
std::vector<std::uint64_t> latency_bounds(const Admin& admin);

}  // namespace saola::config
