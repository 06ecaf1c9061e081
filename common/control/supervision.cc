#include "common/control/supervision.h"

#include <algorithm>
#include <utility>

namespace saola::control {
namespace {

// docs/signals.md.
constexpr int kExitFailed = 1;
constexpr int kExitApp = 3;
constexpr int kExitConfig = 4;

double seconds(Clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

}  // namespace

Supervision::Supervision(EventLoop& loop, Launcher& launcher, const Logger& log,
                         const StartReport& report, const config::Config& config,
                         const SupervisionFiles& files, ipc::Scoreboard& scoreboard,
                         std::vector<std::string> addresses, std::function<void()> stop_listening)
    : loop_(loop),
      log_(log),
      report_(report),
      config_(config),
      addresses_(std::move(addresses)),
      stop_listening_(std::move(stop_listening)),
      started_at_(std::chrono::steady_clock::now()),
      edge_(loop, launcher, log, config, files, *this),
      pool_(loop, launcher, log, config, files, scoreboard, *this) {}

int Supervision::run() {
  if (!done_) loop_.run();
  return exit_code_;
}

// --- coming up -----------------------------------------------------------------------------------

void Supervision::edge_ready() {
  if (!std::exchange(shown_, true)) {
    for (const auto& address : addresses_) log_.info("listening on {}", address);
  } else {
    log_.info("a new edge listens");
  }
  pool_.start();
}

void Supervision::worker_ready(const ipc::WorkerAdd& worker, int wire, int claims) {
  edge_.add_worker(worker, wire, claims);
}

void Supervision::all_ready() {
  if (phase_ != Phase::kStarting) {
    log_.info("all workers serve again: {}", pool_.describe());
    return;
  }
  phase_ = Phase::kServing;
  log_.info("ready after {:.2f} s: {}", seconds(std::chrono::steady_clock::now() - started_at_),
            pool_.describe());
}

void Supervision::edge_failed(const std::string& reason, bool its_words) {
  fail_start(its_words ? kExitConfig : kExitFailed, "the edge cannot start: " + reason);
}

void Supervision::app_failed(const std::string& app, const std::string& reason) {
  fail_start(kExitApp, "app '" + app + "' cannot be loaded: " + reason);
}

void Supervision::fail_start(int exit_code, const std::string& problem) {
  // The first reason is the one that counts; a stop that was asked for is no failure.
  if (phase_ != Phase::kStarting) return;
  report_.problem(problem);
  exit_code_ = exit_code;
  stop_at_once(kFailedStartGrace);
}

// --- deaths --------------------------------------------------------------------------------------

void Supervision::edge_lost() { pool_.edge_lost(loop_.now() + config_.server.graceful_timeout); }

void Supervision::worker_gone(std::uint32_t worker_id) { edge_.remove_worker(worker_id); }

void Supervision::worker_wire_lost(std::uint32_t worker_id, const std::string& reason) {
  pool_.wire_lost(worker_id, reason);
}

// --- going down ----------------------------------------------------------------------------------

void Supervision::stop(const std::string& why) {
  if (phase_ >= Phase::kDraining) {
    if (phase_ != Phase::kStopping) log_.warning("{}: stopping at once", why);
    return stop_at_once(kAtOnceGrace);
  }
  const auto grace = config_.server.graceful_timeout;
  if (grace <= grace.zero()) {
    log_.info("{}: stopping", why);
    return stop_at_once(kLastGrace);
  }
  log_.info("{}: stopping gracefully, within {:.0f} s", why, seconds(grace));
  phase_ = Phase::kDraining;
  graceful_deadline_ = loop_.now() + grace;
  edge_.drain(grace);
  stop_listening_();
}

void Supervision::edge_drained() {
  if (phase_ != Phase::kDraining) return;
  edge_.stop(WorkerLifecycle::kStopGrace);
  drain_workers();
}

void Supervision::drain_workers() {
  phase_ = Phase::kLeaving;
  pool_.drain_all(std::max(graceful_deadline_, loop_.now() + kLastGrace));
}

void Supervision::stop_at_once(Clock::duration grace) {
  phase_ = Phase::kStopping;
  edge_.stop(grace);
  pool_.stop_all(grace);
}

void Supervision::edge_gone() {
  edge_gone_ = true;
  if (phase_ == Phase::kDraining) drain_workers();
  finish_if_done();
}

void Supervision::pool_empty() { finish_if_done(); }

void Supervision::finish_if_done() {
  if (!edge_gone_ || !pool_.empty() || phase_ < Phase::kLeaving || done_) return;
  done_ = true;
  log_.info("stopped");
  loop_.stop();
}

void Supervision::reopen_logs() {
  edge_.reopen_logs();
  pool_.reopen_logs();
}

}  // namespace saola::control
