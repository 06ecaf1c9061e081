// ControlMetrics: what the supervisor counts and shows in the server's MetricStore (names:
// common/metrics/catalog.cc).
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "common/config/config.h"
#include "common/metrics/instruments.h"
#include "common/metrics/process_metrics.h"

namespace saola::control {

class ControlMetrics {
 public:
  explicit ControlMetrics(metrics::MetricStore& store);

  // Once a second.
  void sample() { process_.sample(); }
  void ready(bool ready) const { ready_.set(ready ? 1 : 0); }
  void reloaded(bool success) const;
  // The first configuration, or one that a reload put in place.
  void serves(std::uint32_t generation, const config::Config& config) const;
  void upgrade_failed() const { upgrades_failed_.add(); }
  void upgraded() const { upgrades_.add(); }
  void edge_restarted() const { edge_restarts_.add(); }
  void app(const std::string& name, int wanted, bool crash_looping);
  // `reason`: one of a few literals.
  void worker_exited(const std::string& app, const std::string& reason) const;

 private:
  struct App {
    metrics::Gauge wanted, crash_looping;
  };
  metrics::MetricStore& store_;
  metrics::Gauge ready_, generation_, config_hash_, last_reload_, last_reload_good_;
  metrics::Counter reloads_, reloads_failed_, upgrades_, upgrades_failed_, edge_restarts_;
  metrics::ProcessMetrics process_;
  std::map<std::string, App> apps_;
};

}  // namespace saola::control
