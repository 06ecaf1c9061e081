#include "common/config/latency_buckets.h"

#include "common/config/units.h"

namespace saola::config {

std::vector<std::uint64_t> latency_bounds(const Admin& admin) {
  std::vector<std::uint64_t> bounds;
  for (const std::string& text : admin.latency_buckets) {
    if (const auto time = parse_short_time(text)) {
      bounds.push_back(static_cast<std::uint64_t>(time->count()));
    }
  }
  return bounds;
}

}  // namespace saola::config
