// An application's metrics as prometheus-cpp's structs, which its TextSerializer writes. Header
// only: who includes this links prometheus-cpp, if it serializes.
#pragma once

#include <prometheus/metric_family.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "common/metrics/app_metrics.h"

namespace saola::metrics {

// Counts of a hostile app may be anything.
inline std::uint64_t to_count(double count) {
  constexpr double kMost = 9007199254740992.0;  // 2^53: above it doubles are no counts
  return count >= 0 ? static_cast<std::uint64_t>(std::min(count, kMost)) : 0;
}

// The serializer writes help as it is; in the text format it is one line.
inline std::string escape_help(const std::string& help) {
  std::string out;
  for (const char c : help) {
    if (c == '\\')
      out += "\\\\";
    else if (c == '\n')
      out += "\\n";
    else
      out += c;
  }
  return out;
}

inline prometheus::ClientMetric to_prometheus(const AppSample& sample, AppMetricType type) {
  prometheus::ClientMetric out;
  for (const auto& [name, value] : sample.labels) out.label.push_back({name, value});
  switch (type) {
    case AppMetricType::kCounter:
      out.counter.value = sample.value;
      break;
    case AppMetricType::kGauge:
      out.gauge.value = sample.value;
      break;
    case AppMetricType::kHistogram:
      out.histogram.sample_count = to_count(sample.count);
      out.histogram.sample_sum = sample.sum;
      for (const AppBucket& bucket : sample.buckets) {
        out.histogram.bucket.push_back({to_count(bucket.count), bucket.bound});
      }
      break;
    case AppMetricType::kSummary:
      out.summary.sample_count = to_count(sample.count);
      out.summary.sample_sum = sample.sum;
      break;
  }
  return out;
}

// `metrics`: exposable().
inline std::vector<prometheus::MetricFamily> to_prometheus(const AppMetrics& metrics) {
  constexpr std::array kTypes = {prometheus::MetricType::Counter, prometheus::MetricType::Gauge,
                                 prometheus::MetricType::Histogram,
                                 prometheus::MetricType::Summary};
  std::vector<prometheus::MetricFamily> out;
  for (const AppFamily& family : metrics.families) {
    prometheus::MetricFamily made{family.name,
                                  escape_help(family.help),
                                  kTypes.at(static_cast<std::size_t>(family.type)),
                                  {}};
    for (const AppSample& sample : family.samples) {
      made.metric.push_back(to_prometheus(sample, family.type));
    }
    out.push_back(std::move(made));
  }
  return out;
}

}  // namespace saola::metrics
