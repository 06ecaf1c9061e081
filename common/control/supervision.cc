#include "common/control/supervision.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "common/ipc/control_protocol.h"

namespace saola::control {
namespace {

// docs/signals.md.
constexpr int kExitFailed = 1;
constexpr int kExitApp = 3;
constexpr int kExitConfig = 4;

double seconds(Clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

}  // namespace

Supervision::Supervision(EventLoop& loop, Launcher& launcher, const Logger& log,
                         const StartReport& report, SharedMemory& memory,
                         std::shared_ptr<Generation> first, SupervisionHost& host)
    : loop_(loop),
      log_(log),
      report_(report),
      host_(host),
      started_at_(std::chrono::steady_clock::now()),
      generation_(std::move(first)),
      metrics_(memory.metrics()),
      edge_(loop, launcher, log, memory, generation_, *this),
      admin_(loop, launcher, log, memory, *this),
      ground_{loop, launcher, log, memory, numbers_, oom_, metrics_},
      pool_(std::make_unique<WorkerPool>(ground_, generation_, WorkerPool::Duty::kServe, counters_,
                                         static_cast<WorkerPool::Observer&>(*this))),
      scale_timer_(loop, on_scale_timer, this),
      stack_timer_(loop, on_stack_timer, this),
      last_generation_(generation_->number),
      timer_(loop, on_timer, this),
      reload_timer_(loop, on_reload_timer, this),
      next_reload_timer_(loop, on_next_reload, this),
      gone_timer_(loop, on_predecessors_gone, this),
      give_way_timer_(loop, on_give_way, this),
      publish_timer_(loop, on_publish, this) {}

Supervision::~Supervision() = default;

void Supervision::start() {
  edge_.start();
  admin_.use(generation_);
  metrics_.serves(generation_->number, generation_->config);
  publish_timer_.start(kPublish);
}

int Supervision::run() {
  if (!done_) loop_.run();
  return exit_code_;
}

std::vector<WorkerPool*> Supervision::pools() const {
  std::vector<WorkerPool*> all{pool_.get()};
  for (const auto& pool : old_pools_) all.push_back(pool.get());
  if (reload_ && reload_->pool) all.push_back(reload_->pool.get());
  return all;
}

// --- coming up -----------------------------------------------------------------------------------

void Supervision::edge_ready() {
  if (!std::exchange(shown_, true)) {
    for (const auto& address : generation_->sockets.addresses()) {
      log_.info("listening on {}", address);
    }
    return pool_->start();
  }
  log_.info("a new edge listens");
  for (WorkerPool* pool : pools()) pool->edge_ready();
}

void Supervision::worker_ready(const ipc::WorkerAdd& worker, int wire, int claims) {
  edge_.add_worker(worker, wire, claims);
}

void Supervision::worker_leaves(std::uint32_t worker_id) { edge_.drain_worker(worker_id); }

void Supervision::all_ready(WorkerPool& pool) {
  if (reload_ && reload_->pool.get() == &pool && !reload_->rolling) return probe_or_commit();
  if (&pool != pool_.get() || roll_) return;
  if (phase_ != Phase::kStarting) {
    log_.info("all workers serve again: {}", pool.describe());
    return;
  }
  phase_ = Phase::kServing;
  set_ready(true);
  log_.info("ready after {:.2f} s: {}", seconds(std::chrono::steady_clock::now() - started_at_),
            pool.describe());
  host_.serving(pool.describe());
  follow_the_load();
  if (!next_reload_.empty()) next_reload_timer_.start(std::chrono::microseconds(0));
  end_takeover(std::max(server().graceful_timeout, server().stream_drain_timeout));
}

void Supervision::edge_failed(const std::string& reason, bool its_words) {
  fail_start(its_words ? kExitConfig : kExitFailed, "the edge cannot start: " + reason);
}

void Supervision::app_failed(WorkerPool& pool, const std::string& app, const std::string& reason) {
  const std::string problem = "app '" + app + "' cannot be loaded: " + reason;
  if (reload_ && reload_->pool.get() == &pool) return fail_reload(problem);
  fail_start(kExitApp, problem);
}

void Supervision::fail_start(int exit_code, const std::string& problem) {
  // The first reason is the one that counts; a stop that was asked for is no failure.
  if (phase_ != Phase::kStarting) return;
  report_.problem(problem);
  exit_code_ = exit_code;
  if (taking_over_) start_problem_ = problem;
  stop_at_once(kFailedStartGrace);
}

// --- what the edge says of workers ---------------------------------------------------------------

void Supervision::edge_lost() {
  metrics_.edge_restarted();
  if (reload_) fail_reload("the edge died meanwhile");
  give_report(fail("the edge died before it answered"));
  for (WorkerPool* pool : pools()) pool->edge_lost();
}

void Supervision::worker_gone(std::uint32_t worker_id) { edge_.remove_worker(worker_id); }

void Supervision::worker_wire_lost(std::uint32_t worker_id, const std::string& reason) {
  for (WorkerPool* pool : pools()) {
    if (pool->wire_lost(worker_id, reason)) return;
  }
}

void Supervision::worker_idle(std::uint32_t worker_id) {
  for (WorkerPool* pool : pools()) {
    if (pool->worker_idle(worker_id)) return;
  }
}

void Supervision::worker_overdue(std::uint32_t worker_id, const std::string& reason) {
  for (WorkerPool* pool : pools()) {
    if (pool->worker_overdue(worker_id, reason)) return;
  }
}

// --- going down ----------------------------------------------------------------------------------

void Supervision::begin_stop(const std::string& why) {
  if (!start_problem_.empty()) {
    // This image has failed and ends; now those that were to serve on end too.
    log_.info("{}: stopping gracefully, within {:.0f} s", why, seconds(server().graceful_timeout));
    exit_code_ = 0;
    host_.stopping(server().graceful_timeout + 2 * kLastGrace);
    return end_takeover(server().graceful_timeout);
  }
  if (phase_ >= Phase::kWaiting) {
    if (phase_ != Phase::kStopping) log_.warning("{}: stopping at once", why);
    return stop_at_once(kAtOnceGrace);
  }
  refuse_reloads();
  host_.stopping(server().drain_delay + server().graceful_timeout + 2 * kLastGrace);
  const auto grace = server().graceful_timeout;
  if (grace <= grace.zero()) {
    log_.info("{}: stopping", why);
    return stop_at_once(kLastGrace);
  }
  const auto delay = server().drain_delay;
  set_ready(false);
  if (delay > delay.zero() && phase_ == Phase::kServing) {
    log_.info("{}: not ready any more; stopping gracefully in {:.1f} s (drain_delay)", why,
              seconds(delay));
    phase_ = Phase::kWaiting;
    edge_.release_clients();
    return timer_.start(delay);
  }
  log_.info("{}: stopping gracefully, within {:.0f} s", why, seconds(grace));
  drain_now();
}

void Supervision::on_timer(void* self) {
  auto& supervision = *static_cast<Supervision*>(self);
  if (supervision.phase_ == Phase::kWaiting) supervision.drain_now();
}

void Supervision::drain_now() {
  const auto grace = server().graceful_timeout;
  phase_ = Phase::kDraining;
  graceful_deadline_ = loop_.now() + grace;
  edge_.drain(grace);
  if (predecessors_) predecessors_->leave(grace, {});
  end_takeover(grace);
  // Our copies: once the edge has closed its own, clients are refused instead of waiting in a queue
  // that nobody serves.
  generation_->sockets.close();
}

void Supervision::edge_drained() {
  if (phase_ != Phase::kDraining) return;
  edge_.stop(WorkerLifecycle::kStopGrace);
  drain_workers();
}

void Supervision::drain_workers() {
  phase_ = Phase::kLeaving;
  const auto deadline = std::max(graceful_deadline_, loop_.now() + kLastGrace);
  for (WorkerPool* pool : pools()) pool->drain_all(deadline);
}

void Supervision::stop_at_once(Clock::duration grace) {
  refuse_reloads();
  phase_ = Phase::kStopping;
  set_ready(false);
  timer_.cancel();
  edge_.stop(grace);
  // Those of the image before serve on if it is this one that failed.
  if (start_problem_.empty()) {
    end_takeover(grace);
    if (predecessors_) predecessors_->stop(grace);
  }
  for (WorkerPool* pool : pools()) pool->stop_all(grace);
}

void Supervision::edge_gone() {
  edge_gone_ = true;
  if (phase_ == Phase::kDraining) drain_workers();
  finish_if_done();
}

void Supervision::pool_empty(WorkerPool& pool) {
  const auto old = std::find_if(old_pools_.begin(), old_pools_.end(),
                                [&pool](const auto& one) { return one.get() == &pool; });
  if (old != old_pools_.end()) {
    log_.info("generation {} has ended", pool.generation().number);
    loop_.delete_later(std::move(*old));
    old_pools_.erase(old);
  }
  finish_if_done();
}

void Supervision::finish_if_done() {
  if (!edge_gone_ || !pool_->empty() || !old_pools_.empty() || phase_ < Phase::kLeaving || done_) {
    return;
  }
  if (predecessors_ && start_problem_.empty()) return;
  // The last to go: it shows how the others went.
  if (admin_.running()) return admin_.stop();
  done_ = true;
  log_.info("stopped");
  loop_.stop();
}

void Supervision::admin_gone() { finish_if_done(); }

// --- what others see -----------------------------------------------------------------------------

void Supervision::set_ready(bool ready) {
  ready_ = ready;
  publish();
}

void Supervision::publish() {
  metrics_.ready(is_ready());
  for (const auto& app : status().apps) metrics_.app(app.name, app.workers, app.crash_looping);
}

void Supervision::on_publish(void* self) {
  auto& supervision = *static_cast<Supervision*>(self);
  supervision.publish();
  supervision.metrics_.sample();
  supervision.publish_timer_.start(kPublish);
}

void Supervision::status_asked(std::uint32_t ask) {
  const auto answer = [this, ask](const Result<ipc::EdgeReport>& report) {
    admin_.give_status(ask, ipc::status_to_json(status(), report ? &*report : nullptr));
  };
  if (edge_.pid() == 0) return answer(fail("no edge"));
  inspect(answer);
}

// --- commands ------------------------------------------------------------------------------------

void Supervision::stop(bool at_once) {
  if (!at_once) return begin_stop("control socket");
  log_.info("control socket: stopping at once");
  stop_at_once(kAtOnceGrace);
}

Result<std::string> Supervision::drain() {
  if (phase_ != Phase::kServing) return fail("the server does not serve");
  set_ready(false);
  drained_ = true;
  edge_.release_clients();
  log_.info("not ready any more, as asked; serving goes on until the server is stopped");
  return std::string("not ready any more; connections end after their next answer");
}

Result<std::string> Supervision::reopen_logs() {
  if (auto opened = host_.reopen_logs(*generation_); !opened) return Unexpected{opened.error()};
  edge_.reopen_logs();
  admin_.reopen_logs();
  for (WorkerPool* pool : pools()) pool->reopen_logs();
  return std::string("logs reopened");
}

Result<std::string> Supervision::scale(const std::string& app, int workers) {
  if (phase_ != Phase::kServing) return fail("the server does not serve");
  if (reloads()) return fail("a reload is under way; ask again when it is over");
  return pool_->scale(app, workers);
}

void Supervision::scale_by(int more) {
  for (const auto& [name, app] : generation_->config.apps) {
    const int wanted = pool_->wanted(name) + more;
    if (wanted < 1) continue;
    if (const auto scaled = scale(name, wanted); !scaled) {
      return log_.warning("the number of workers stays: {}", scaled.error().message);
    }
  }
}

void Supervision::rest() {
  if (phase_ != Phase::kServing || reloads()) {
    return log_.warning("the workers stay: {}",
                        reloads() ? "a reload is under way" : "the server does not serve");
  }
  log_.info("all workers leave; TTIN or a reload brings them back");
  for (const auto& [name, app] : generation_->config.apps) {
    pool_->give_up(name, pool_->wanted(name), LeaveReason::kScale);
  }
  publish();
}

void Supervision::recycle(std::uint32_t worker_id, Done done) {
  if (phase_ != Phase::kServing) return done(fail("the server does not serve"));
  if (roll_) return done(fail("a rolling reload is under way; it replaces every worker"));
  done(pool_->recycle(worker_id));
}

void Supervision::dump_stacks(std::optional<std::uint32_t> worker_id, Done done) {
  StackDump dump;
  for (WorkerPool* pool : pools()) {
    for (const std::uint32_t id : pool->dump_stacks(worker_id, "asked for"))
      dump.missing.insert(id);
  }
  if (dump.missing.empty()) return done(fail("there is no such worker"));
  dump.asked = dump.missing.size();
  dump.done = std::move(done);
  stack_dumps_.push_back(std::move(dump));
  stack_timer_.start(kStackTimeout);
}

void Supervision::worker_stacks_dumped(std::uint32_t worker_id) {
  std::vector<StackDump> over;
  for (auto& dump : stack_dumps_) {
    if (dump.missing.erase(worker_id) > 0 && dump.missing.empty()) over.push_back(std::move(dump));
  }
  std::erase_if(stack_dumps_, [](const auto& dump) { return dump.missing.empty(); });
  for (const auto& dump : over) {
    dump.done(fmt::format("the stacks of {} worker{} are in the error log", dump.asked,
                          dump.asked == 1 ? "" : "s"));
  }
}

void Supervision::on_stack_timer(void* self) {
  for (const auto& dump : std::exchange(static_cast<Supervision*>(self)->stack_dumps_, {})) {
    dump.done(
        fail(fmt::format("{} of {} workers did not answer; the stacks of the others are in "
                         "the error log",
                         dump.missing.size(), dump.asked)));
  }
}

void Supervision::inspect(Report done) {
  if (edge_.pid() == 0) return done(fail("there is no edge at this moment"));
  inspecting_.push_back(std::move(done));
  if (inspecting_.size() == 1) edge_.inspect();
}

void Supervision::edge_reported(const ipc::EdgeReport& report) { give_report(report); }

void Supervision::give_report(const Result<ipc::EdgeReport>& report) {
  for (const auto& done : std::exchange(inspecting_, {})) done(report);
}

Status Supervision::status() const {
  Status status;
  status.version = SAOLA_VERSION;
  status.pid = ::getpid();
  switch (phase_) {
    case Phase::kStarting:
      status.state = "starting";
      break;
    case Phase::kServing:
      status.state = reloads() ? "reloading" : "serving";
      break;
    case Phase::kWaiting:
    case Phase::kDraining:
    case Phase::kLeaving:
      status.state = "draining";
      break;
    case Phase::kStopping:
      status.state = "stopping";
      break;
  }
  status.ready = is_ready();
  status.uptime_seconds = seconds(std::chrono::steady_clock::now() - started_at_);
  status.generation = generation_->number;
  status.config_path = generation_->config.path;
  status.addresses = generation_->sockets.addresses();
  status.edge_pid = edge_.pid();
  status.edge_restarts = edge_.restarts();
  for (const WorkerPool* pool : pools()) pool->add_status(status);
  if (last_reload_) {
    const auto& [when, outcome] = *last_reload_;
    status.last_reload =
        ReloadStatus{seconds(std::chrono::steady_clock::now() - when), outcome.has_value(),
                     outcome ? *outcome : outcome.error().message};
  }
  return status;
}

}  // namespace saola::control
