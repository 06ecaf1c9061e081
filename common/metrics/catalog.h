// The catalog: every metric of the server's own, as docs/metrics.md documents it and /metrics shows
// it. A test compares the three. Pure.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace saola::metrics {

enum class MetricType : std::uint8_t { kCounter, kGauge, kHistogram };

struct MetricDescription {
  std::string_view name;
  MetricType type;
  std::string_view labels;  // "app, method"; empty: none
  std::string_view help;    // one sentence without a full stop
};

// In the order of the documentation.
std::span<const MetricDescription> catalog();
// Null: no metric of ours has this name.
const MetricDescription* describe(std::string_view name);

}  // namespace saola::metrics
