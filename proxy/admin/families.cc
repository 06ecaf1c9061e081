#include "proxy/admin/families.h"

#include <bit>
#include <cmath>
#include <utility>

#include "common/metrics/catalog.h"
#include "common/metrics/series_key.h"
#include "common/metrics/time_bounds.h"

namespace saola::proxy {
namespace {

using metrics::MetricType;
using metrics::SeriesKind;
using prometheus::ClientMetric;

// Division, not multiplication: 60 s are to read 60.
double seconds(std::uint64_t nanoseconds) { return static_cast<double>(nanoseconds) / 1e9; }

prometheus::MetricType type_of(MetricType type) {
  switch (type) {
    case MetricType::kCounter:
      return prometheus::MetricType::Counter;
    case MetricType::kGauge:
      return prometheus::MetricType::Gauge;
    case MetricType::kHistogram:
      break;
  }
  return prometheus::MetricType::Histogram;
}

ClientMetric with_labels(const Labels& labels) {
  ClientMetric metric;
  for (const auto& [name, value] : labels) metric.label.push_back({name, value});
  return metric;
}

double value_of(const metrics::SeriesView& series) {
  const std::uint64_t word = series.words.front();
  switch (series.kind) {
    case SeriesKind::kGauge:
    case SeriesKind::kReal:
      return std::bit_cast<double>(word);
    case SeriesKind::kNanoseconds:
      return seconds(word);
    case SeriesKind::kCounter:
    case SeriesKind::kTimeHistogram:
      break;
  }
  return static_cast<double>(word);
}

}  // namespace

void Families::add(std::string_view name, const Labels& labels, double value) {
  const auto* described = metrics::describe(name);
  if (described == nullptr || std::isnan(value)) return;
  ClientMetric metric = with_labels(labels);
  if (described->type == MetricType::kCounter) {
    metric.counter.value = value;
  } else {
    metric.gauge.value = value;
  }
  families_[std::string(name)][labels] = std::move(metric);
}

void Families::add_histogram(const std::string& name, const Labels& labels, std::string_view bounds,
                             const std::vector<std::uint64_t>& words) {
  const auto parsed = metrics::TimeBounds::parse_key(bounds);
  if (!parsed || words.size() != parsed->nanoseconds().size() + 2) return;
  ClientMetric metric = with_labels(labels);
  auto& histogram = metric.histogram;
  const auto upper = parsed->nanoseconds();
  for (std::size_t i = 0; i <= upper.size(); ++i) {
    histogram.sample_count += words[i];
    if (i == upper.size()) break;
    histogram.bucket.push_back({histogram.sample_count, seconds(upper[i])});
  }
  histogram.bucket.push_back({histogram.sample_count, INFINITY});
  histogram.sample_sum = seconds(words.back());
  families_[name][labels] = std::move(metric);
}

void Families::add_store(const metrics::MetricStore& store, const std::string& current) {
  store.for_each([&](const metrics::SeriesView& series) {
    auto key = metrics::decode_key(series.key);
    const auto* described = key ? metrics::describe(key->name) : nullptr;
    if (described == nullptr || series.words.empty()) return;
    const bool is_histogram = described->type == MetricType::kHistogram;
    if (is_histogram != (series.kind == SeriesKind::kTimeHistogram)) return;
    if (!is_histogram) return add(key->name, key->labels, value_of(series));
    std::string bounds;
    std::erase_if(key->labels, [&bounds](const auto& label) {
      if (label.first != metrics::kBoundsLabel) return false;
      bounds = label.second;
      return true;
    });
    const auto family = families_.find(key->name);
    const bool there = family != families_.end() && family->second.contains(key->labels);
    if (!there || bounds == current) add_histogram(key->name, key->labels, bounds, series.words);
  });
}

std::vector<prometheus::MetricFamily> Families::take() {
  std::vector<prometheus::MetricFamily> out;
  for (const auto& described : metrics::catalog()) {
    const auto found = families_.find(described.name);
    if (found == families_.end()) continue;
    prometheus::MetricFamily& family = out.emplace_back();
    family.name = described.name;
    family.help = described.help;
    family.type = type_of(described.type);
    for (auto& [labels, metric] : found->second) family.metric.push_back(std::move(metric));
  }
  families_.clear();
  return out;
}

}  // namespace saola::proxy
