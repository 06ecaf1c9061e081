// ProcessMetrics: what a process says of itself: CPU, memory, descriptors. sample() about once a
// second, by the process itself.
#pragma once

#include <chrono>
#include <string_view>

#include "common/metrics/instruments.h"

namespace saola::metrics {

class ProcessMetrics {
 public:
  // `process`: "edge", "supervisor", "admin".
  ProcessMetrics(MetricStore& store, std::string_view process);

  void sample();

 private:
  TimeCounter user_, system_;
  Gauge memory_, descriptors_, most_descriptors_, start_time_;
  std::chrono::nanoseconds user_before_{0}, system_before_{0};
};

}  // namespace saola::metrics
