// Families: what the stores and the samples say, as Prometheus' data model. Pure; made anew for
// each scrape.
#pragma once

#include <prometheus/metric_family.h>

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/metrics/metric_store.h"

namespace saola::proxy {

using Labels = std::vector<std::pair<std::string, std::string>>;

// Collects samples under the names of the catalog; an unknown name is a mistake of ours and is left
// out, like samples that make no sense.
class Families {
 public:
  // Counters and gauges.
  void add(std::string_view name, const Labels& labels, double value);
  // Every series of the server's own store. Of histograms with the same labels and other buckets
  // only the one with `current` bounds (TimeBounds::text()) is shown, if it is there.
  void add_store(const metrics::MetricStore& store, const std::string& current);

  // In the catalog's order, samples in that of their labels.
  std::vector<prometheus::MetricFamily> take();

 private:
  void add_histogram(const std::string& name, const Labels& labels, std::string_view bounds,
                     const std::vector<std::uint64_t>& words);

  std::map<std::string, std::map<Labels, prometheus::ClientMetric>, std::less<>> families_;
};

}  // namespace saola::proxy
