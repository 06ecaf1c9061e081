// App metrics: an application that uses prometheus_client counts into a MetricStore that all
// workers of the app share and that outlives them (docs/app_metrics.md says for users what that
// means).
//
//   install_app_metrics()       before the application is imported, in workers and zygotes. From
//   the
//                               moment in which something imports prometheus_client, its values are
//                               ours (metric_value.h) and what its registries collect are the
//                               totals of all workers (python/app_metrics.py). Nothing imports it
//                               here: an application without it pays a look at each import.
//   begin_worker_app_metrics()  before a worker imports or, forked from a zygote, serves: from now
//   on
//                               its gauges have a place of their own. Before it they are this
//                               process's alone; a forked worker takes over what the import has
//                               set.
//
// Where the environment names PROMETHEUS_MULTIPROC_DIR prometheus_client is left as it is.
//
// GIL held. One store per process, as there is one interpreter; it stays mapped until the end.
#pragma once

#include "common/core/log.h"
#include "common/core/result.h"
#include "common/core/unique_fd.h"

namespace saola::backend {

// Fails if `store_file` is not a MetricStore. No other descriptor of that file may be closed in
// this process after begin_worker_app_metrics() (app_places.h).
Result<void> install_app_metrics(UniqueFd store_file, Logger log);

// Nothing happens if nothing is installed. That all places are taken is logged, not an error:
// gauges are then this process's alone.
void begin_worker_app_metrics(Logger log);

}  // namespace saola::backend
