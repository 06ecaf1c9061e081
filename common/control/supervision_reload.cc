// Supervision, the part that puts a new generation in place of the one that serves.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "common/control/supervision.h"

namespace saola::control {
namespace {

double seconds(Clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

}  // namespace

void Supervision::reload(bool rolling, Done done) {
  if (rolling) return done(fail("rolling reloads are not available in this version"));
  if (phase_ > Phase::kServing) return done(fail("the server is stopping"));
  if (phase_ == Phase::kStarting || reload_) {
    // What is under way may have read what has changed since.
    if (next_reload_.empty()) {
      log_.info("reload: follows {}", reload_ ? "the one under way" : "the start");
    }
    return next_reload_.push_back(std::move(done));
  }
  std::vector<Done> all;
  all.push_back(std::move(done));
  begin_reload(std::move(all));
}

void Supervision::begin_reload(std::vector<Done> done) {
  reload_ = std::make_unique<Reload>();
  reload_->started_at = std::chrono::steady_clock::now();
  reload_->done = std::move(done);
  log_.info("reload: reading the configuration");
  host_.reloading();
  auto next = host_.next_generation(++last_generation_, *generation_);
  if (!next) return fail_reload(next.error().message);
  reload_->next = *std::move(next);
  for (const auto& warning : reload_->next->warnings) log_.warning("{}", warning);
  reload_timer_.start(kPrepareTimeout);
  edge_.prepare(*reload_->next);
}

void Supervision::edge_prepared(std::uint32_t generation, const Result<void>& outcome) {
  if (!reload_ || reload_->pool || reload_->next->number != generation) return;
  if (!outcome) return fail_reload(outcome.error().message);
  reload_timer_.cancel();
  reload_->pool =
      std::make_unique<WorkerPool>(ground_, reload_->next, WorkerPool::Duty::kStandBy, counters_,
                                   static_cast<WorkerPool::Observer&>(*this));
  log_.info("reload: generation {} boots", generation);
  reload_->pool->start();
}

// Every worker is ready. Those of an app with a ready_path must answer there too.
void Supervision::probe_or_commit() {
  Clock::duration limit{};
  for (const auto& [name, app] : reload_->next->config.apps) {
    if (app.ready_path.empty()) continue;
    limit = std::max<Clock::duration>(limit, app.boot_timeout);
    for (const std::uint32_t id : reload_->pool->ready_workers(name)) {
      reload_->probes.insert(id);
      edge_.probe(id, "localhost", app.ready_path);
    }
  }
  if (reload_->probes.empty()) return commit();
  reload_timer_.start(std::chrono::ceil<std::chrono::microseconds>(limit));
}

void Supervision::worker_probed(std::uint32_t worker_id, std::uint32_t status) {
  if (!reload_ || reload_->probes.erase(worker_id) == 0) return;
  if (status < 200 || status > 299) {
    return fail_reload(fmt::format(
        "worker {} is not ready: ready_path {}", worker_id,
        status == 0 ? std::string("did not answer") : fmt::format("answered {}", status)));
  }
  if (reload_->probes.empty()) commit();
}

void Supervision::on_reload_timer(void* self) {
  auto& supervision = *static_cast<Supervision*>(self);
  if (!supervision.reload_) return;
  supervision.fail_reload(supervision.reload_->pool
                              ? "ready_path did not answer within boot_timeout"
                              : "the edge did not take the new configuration in time");
}

void Supervision::commit() {
  const auto& server = reload_->next->config.server;
  const auto grace = std::max(server.graceful_timeout, server.stream_drain_timeout);
  const auto before = std::exchange(generation_, reload_->next);
  // What both use lives on; a socket that is not configured any more closes here, before the edge
  // takes what its queue still has.
  before->sockets.close();
  edge_.commit(generation_);
  reload_->pool->serve();
  old_pools_.push_back(std::exchange(pool_, std::move(reload_->pool)));
  host_.committed(*generation_);
  admin_.use(generation_);
  before->admin_sockets.close();
  metrics_.serves(generation_->number, generation_->config);
  for (const auto& address : generation_->sockets.addresses())
    log_.debug("listening on {}", address);
  WorkerPool& old = *old_pools_.back();
  const std::string said = fmt::format(
      "generation {} serves after {:.2f} s: {}", generation_->number,
      seconds(std::chrono::steady_clock::now() - reload_->started_at), pool_->describe());
  log_.info("reload: {}", said);
  follow_the_load();
  end_reload(said);
  old.leave(loop_.now() + grace);  // may end it at once
}

void Supervision::fail_reload(const std::string& reason) {
  const std::string problem = "the reload failed, generation " +
                              std::to_string(generation_->number) + " goes on: " + reason;
  log_.write_block(LogLevel::kError, problem);
  if (reload_->next) edge_.abandon(*reload_->next);
  std::unique_ptr<WorkerPool> pool = std::move(reload_->pool);
  end_reload(fail(problem));
  if (!pool) return;
  WorkerPool& failed = *pool;
  old_pools_.push_back(std::move(pool));
  failed.stop_all(kFailedStartGrace);  // may end it at once
}

void Supervision::end_reload(const Result<std::string>& outcome) {
  reload_timer_.cancel();
  const auto over = std::exchange(reload_, nullptr);
  last_reload_.emplace(std::chrono::steady_clock::now(), outcome);
  metrics_.reloaded(outcome.has_value());
  host_.serving(pool_->describe());
  for (const auto& done : over->done) done(outcome);
  // Not at once: what ends a reload has more to do in this turn.
  if (!next_reload_.empty()) next_reload_timer_.start(std::chrono::microseconds(0));
}

void Supervision::refuse_reloads() {
  if (reload_) fail_reload("the server stops");
  for (const auto& done : std::exchange(next_reload_, {})) done(fail("the server stops"));
}

void Supervision::on_next_reload(void* self) {
  auto& supervision = *static_cast<Supervision*>(self);
  auto waiting = std::exchange(supervision.next_reload_, {});
  if (supervision.phase_ == Phase::kServing) return supervision.begin_reload(std::move(waiting));
  for (const auto& done : waiting) done(fail("the server stops"));
}

}  // namespace saola::control
