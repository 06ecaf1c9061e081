#include "common/control/control_metrics.h"

#include <chrono>

#include "common/config/config_loader.h"

namespace saola::control {
namespace {

// FNV-1a, cut to what a double holds exactly: the same text always gives the same number.
double hash_of(const std::string& text) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return static_cast<double>(hash & 0xffffffffffffU);
}

double unix_time() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace

ControlMetrics::ControlMetrics(metrics::MetricStore& store)
    : store_(store),
      ready_(store, "saola_ready"),
      generation_(store, "saola_generation"),
      config_hash_(store, "saola_config_hash"),
      last_reload_(store, "saola_last_reload_timestamp_seconds"),
      last_reload_good_(store, "saola_last_reload_successful"),
      reloads_(store, "saola_reloads_total", {{"result", "success"}}),
      reloads_failed_(store, "saola_reloads_total", {{"result", "failure"}}),
      upgrades_(store, "saola_upgrades_total", {{"result", "success"}}),
      upgrades_failed_(store, "saola_upgrades_total", {{"result", "failure"}}),
      edge_restarts_(store, "saola_edge_restarts_total"),
      process_(store, "supervisor") {
  metrics::Gauge(store, "saola_build_info", {{"version", SAOLA_VERSION}}).set(1);
  ready(false);
  last_reload_good_.set(1);
}

void ControlMetrics::reloaded(bool success) const {
  (success ? reloads_ : reloads_failed_).add();
  last_reload_good_.set(success ? 1 : 0);
}

void ControlMetrics::serves(std::uint32_t generation, const config::Config& config) const {
  generation_.set(generation);
  config_hash_.set(hash_of(config::print_config(config, true)));
  last_reload_.set(unix_time());
}

void ControlMetrics::app(const std::string& name, int wanted, bool crash_looping) {
  const auto [place, fresh] = apps_.try_emplace(name);
  if (fresh) {
    place->second = {metrics::Gauge(store_, "saola_workers_wanted", {{"app", name}}),
                     metrics::Gauge(store_, "saola_app_crash_looping", {{"app", name}})};
  }
  place->second.wanted.set(wanted);
  place->second.crash_looping.set(crash_looping ? 1 : 0);
}

void ControlMetrics::worker_exited(const std::string& app, const std::string& reason) const {
  metrics::Counter(store_, "saola_worker_exits_total", {{"app", app}, {"reason", reason}}).add();
}

}  // namespace saola::control
