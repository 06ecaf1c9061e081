// AppPlaces: which process counts into which gauges of an application's MetricStore.
//
// A gauge has one value per process. Were they named by process, a store would grow with every
// worker that is replaced; so each process takes a place, and a place that its process has left is
// taken again. A place is a record lock on a byte of the store's file, beyond its end: the kernel
// gives it back when the process ends, however it ends. Children of a fork do not have it.
//
// Whoever takes a place first folds what the last process left there: gauges of modes min, max,
// sum and mostrecent into what the dead have left, those of other modes go. At most one process
// folds at a time; if it is killed while it folds a sum, that one value is lost.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <vector>

#include "common/core/result.h"
#include "common/core/unique_fd.h"
#include "common/metrics/app_series.h"
#include "common/metrics/metric_store.h"

namespace saola::metrics {

// Living processes with gauges of their own, of one application.
inline constexpr std::uint32_t kMostPlaces = 4096;

// The lowest free place, from now until this process ends or closes any descriptor of the store:
// that is how record locks are. Waits while another process folds. Fails if all are taken, or if
// the place itself does not fit into the store.
Result<std::uint32_t> take_place(MetricStore& store, const UniqueFd& file);

struct AppSeries {
  AppSeriesKey key;
  std::vector<std::uint64_t> words;  // as many as its key's kind has
};

struct AppContents {
  std::vector<AppSeries> series;
  std::set<std::uint32_t> live;  // places
};

// All series of a moment in which nobody folded; after a few attempts, of any moment. `own`: this
// process's place, which it cannot see itself.
AppContents read_app_series(const MetricStore& store, const UniqueFd& file,
                            std::optional<std::uint32_t> own = std::nullopt);

}  // namespace saola::metrics
