// MetricHome: where this process's metric values (metric_value.h) live: the application's store and
// the process's place in it. GIL held.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <set>
#include <span>
#include <string>

#include "common/core/log.h"
#include "common/core/result.h"
#include "common/core/unique_fd.h"
#include "common/metrics/app_places.h"
#include "common/metrics/app_series.h"
#include "common/metrics/metric_store.h"

namespace saola::backend {

class MetricHome {
 public:
  static Result<MetricHome*> open(UniqueFd file, Logger log);
  MetricHome(const MetricHome&) = delete;
  MetricHome& operator=(const MetricHome&) = delete;

  // The words of a value of a family that has been noted; empty if they do not fit, which is said
  // in the log once in the life of the store.
  std::span<metrics::Word> find(metrics::SeriesKind kind, const std::string& key,
                                std::size_t words);
  // False: it does not fit.
  bool note_family(const metrics::AppFamilyKey& key);

  // This process's own, if it has one. Forked children have none until they take it.
  std::optional<std::uint32_t> place() const { return place_; }
  Result<void> take_place();
  void leave_place() { place_.reset(); }

  metrics::AppContents contents() const;

  const Logger& log() const { return log_; }
  void redirect(Logger log) { log_ = std::move(log); }

 private:
  MetricHome(metrics::MetricStore store, UniqueFd file, Logger log);
  void warn_once(metrics::Word* mark, const std::string& text);

  metrics::MetricStore store_;
  UniqueFd file_;
  Logger log_;
  std::optional<std::uint32_t> place_;
  std::set<std::string> noted_;  // keys of families
  metrics::Word* warned_full_;   // marks in the store
  metrics::Word* warned_long_;
};

}  // namespace saola::backend
