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
  if (phase_ > Phase::kServing) return done(fail("the server is stopping"));
  if (phase_ == Phase::kStarting || reload_) {
    // What is under way may have read what has changed since.
    if (next_reload_.empty()) {
      log_.info("reload: follows {}", reload_ ? "the one under way" : "the start");
    }
    return next_reload_.push_back({rolling, std::move(done)});
  }
  std::vector<Done> all;
  all.push_back(std::move(done));
  begin_reload(rolling, std::move(all));
}

void Supervision::begin_reload(bool rolling, std::vector<Done> done) {
  reload_ = std::make_unique<Reload>();
  reload_->rolling = rolling;
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
  log_.info("reload: generation {} boots{}", generation,
            reload_->rolling ? ", one after the other" : "");
  reload_->pool->set_paced(reload_->rolling);
  reload_->pool->start();
}

// Every worker is ready; of a rolling reload, the first ones are. Those of an app with a ready_path
// must answer there too.
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
  const bool rolling = reload_->rolling;
  // What both use lives on; a socket that is not configured any more closes here, before the edge
  // takes what its queue still has.
  before->sockets.close();
  edge_.commit(generation_, rolling);
  reload_->pool->serve();
  old_pools_.push_back(std::exchange(pool_, std::move(reload_->pool)));
  host_.committed(*generation_);
  admin_.use(generation_);
  before->admin_sockets.close();
  metrics_.serves(generation_->number, generation_->config);
  for (const auto& address : generation_->sockets.addresses())
    log_.debug("listening on {}", address);
  WorkerPool& old = *old_pools_.back();
  if (rolling) return begin_roll(old, grace);
  const std::string said = fmt::format(
      "generation {} serves after {:.2f} s: {}", generation_->number,
      seconds(std::chrono::steady_clock::now() - reload_->started_at), pool_->describe());
  log_.info("reload: {}", said);
  follow_the_load();
  const auto deadline = loop_.now() + grace;
  overtake_roll(deadline);
  end_reload(said);
  old.leave(deadline);  // may end it at once
}

void Supervision::fail_reload(const std::string& reason) {
  const std::string problem = "the reload failed, generation " +
                              std::to_string(generation_->number) + " goes on: " + reason;
  log_.write_block(LogLevel::kError, problem);
  if (reload_->next) edge_.abandon(*reload_->next);
  std::unique_ptr<WorkerPool> pool = std::move(reload_->pool);
  end_reload(fail(problem));
  if (pool) {
    WorkerPool& failed = *pool;
    old_pools_.push_back(std::move(pool));
    failed.stop_all(kFailedStartGrace);  // may end it at once
  }
  step_roll();
}

void Supervision::end_reload(const Result<std::string>& outcome) {
  reload_timer_.cancel();
  const auto over = std::exchange(reload_, nullptr);
  tell_outcome(over->done, outcome);
}

void Supervision::tell_outcome(const std::vector<Done>& done, const Result<std::string>& outcome) {
  last_reload_.emplace(std::chrono::steady_clock::now(), outcome);
  metrics_.reloaded(outcome.has_value());
  if (!reloads()) host_.serving(pool_->describe());
  for (const auto& one : done) one(outcome);
  // Not at once: what ends a reload has more to do in this turn.
  if (!next_reload_.empty()) next_reload_timer_.start(std::chrono::microseconds(0));
}

void Supervision::refuse_reloads() {
  if (roll_) break_off_roll("the server stops");
  if (reload_) fail_reload("the server stops");
  for (const auto& wish : std::exchange(next_reload_, {})) wish.done(fail("the server stops"));
}

void Supervision::on_next_reload(void* self) {
  auto& supervision = *static_cast<Supervision*>(self);
  auto waiting = std::exchange(supervision.next_reload_, {});
  if (waiting.empty()) return;
  if (supervision.phase_ != Phase::kServing) {
    for (const auto& wish : waiting) wish.done(fail("the server stops"));
    return;
  }
  // One for all of them; who did not ask for sparing memory wants it soon.
  bool rolling = true;
  std::vector<Done> all;
  for (auto& wish : waiting) {
    rolling = rolling && wish.rolling;
    all.push_back(std::move(wish.done));
  }
  supervision.begin_reload(rolling, std::move(all));
}

}  // namespace saola::control
