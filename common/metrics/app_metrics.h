// AppMetrics: the metrics of an application as one process with the work of all would show them.
// Pure: from what lies in its store (app_places.h reads it) to plain structs.
//
//   counters, histograms, summaries   the totals of all processes, living and dead
//   gauges of mode all, liveall       one sample per process, with the label `pid`; all: also of
//   dead
//                                     ones whose place no other has taken yet
//   min, max, sum, mostrecent         of all processes, living and dead; with `live` before it: of
//                                     the living only
//
// Several makings of a metric of one name (a reload brought another version of the app): the newest
// says what it is; values of another type are left out and counted.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "common/metrics/app_places.h"
#include "common/metrics/app_series.h"

namespace saola::metrics {

struct AppBucket {
  std::string le;  // as the app wrote it
  double bound;
  double count;  // cumulative
};

struct AppSample {
  Labels labels;                   // sorted by name, each once
  double value = 0;                // counter, gauge
  double sum = 0, count = 0;       // histogram, summary
  std::vector<AppBucket> buckets;  // ascending
};

struct AppFamily {
  std::string name;  // a counter's without "_total"
  AppMetricType type;
  std::string help;
  std::vector<AppSample> samples;  // in the order of their labels; none if all have been removed
};

struct AppMetrics {
  std::vector<AppFamily> families;  // in the order of their names
  std::uint64_t dropped = 0;        // series that could not be shown
};

AppMetrics aggregate(const AppContents& contents);

// What several applications count, by their names, in the text format's terms: counters are called
// "..._total"; names have the characters of the classic format, others become "_"; texts are UTF-8;
// each sample has a label `app`, and an application's own label of that name is `exported_app`.
// Applications may share a family if they agree on its type; the first one's help is shown. A
// family whose name is Saola's own ("saola_...") or one of another family's, and a sample whose
// labels are another's, are dropped and counted. Nothing that an app does makes the result
// unparsable.
AppMetrics exposable(std::map<std::string, AppMetrics> apps);

}  // namespace saola::metrics
