#include "common/control/worker_pool.h"

#include <fmt/format.h>
#include <sys/wait.h>

#include <algorithm>
#include <csignal>
#include <utility>

#include "common/control/cpu_quota.h"
#include "common/control/exit_status.h"
#include "common/control/worker_pool_seats.h"

namespace saola::control {
namespace {

double seconds(Clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

}  // namespace

WorkerPool::WorkerPool(const WorkerGround& ground, std::shared_ptr<const Generation> generation,
                       Duty duty, std::map<std::string, AppCounters>& counters, Observer& observer)
    : ground_(ground),
      loop_(ground.loop),
      log_(ground.log),
      generation_(std::move(generation)),
      counters_(counters),
      observer_(observer),
      duty_(duty),
      tick_timer_(ground.loop, on_tick, this) {
  for (const auto& [name, settings] : generation_->config.apps) {
    auto& app = *apps_.emplace_back(std::make_unique<App>());
    app.name = name;
    app.settings = &settings;
    app.counters = &counters_[name];
    if (settings.preload) {
      app.zygote = std::make_unique<ZygoteKeeper>(ground.loop, ground.launcher, ground.log,
                                                  ground.memory, generation_, name,
                                                  static_cast<ZygoteKeeper::Observer&>(*this));
    }
    const int count = settings.workers > 0 ? settings.workers : available_cpus();
    for (int i = 0; i < count; ++i) app.seats.push_back(std::make_unique<Seat>(*this, app));
  }
}

WorkerPool::~WorkerPool() = default;

// --- starting ------------------------------------------------------------------------------------

void WorkerPool::start() {
  edge_present_ = true;
  last_tick_ = memory_sampled_ = loop_.now();
  if (!tick_timer_.active()) {
    tick_timer_.start(std::chrono::ceil<std::chrono::microseconds>(tick()));
  }
  for (auto& app : apps_) start_waiting(*app);
}

void WorkerPool::start_waiting(App& app) {
  for (auto& seat : app.seats) {
    if (seat->worker == nullptr && seat->successor == nullptr && !seat->timer.active()) {
      start(*seat);
    }
  }
}

// Workers that boot beside serving ones leave them their processors; the first ones, and what
// replaces the dead, have nobody to wait for.
bool WorkerPool::may_boot(const App& app) const {
  const auto booting = std::count_if(workers_.begin(), workers_.end(), [&app](const auto& worker) {
    return worker->facts().app == app.name && worker->state() == WorkerState::kBooting;
  });
  return booting < app.settings->boot_concurrency;
}

void WorkerPool::start(Seat& seat) {
  if (duty_ == Duty::kLeave || !edge_present_) return;
  if (duty_ == Duty::kStandBy && !may_boot(seat.app)) return;
  if (paced_ && !may_boot_paced(seat.app)) return;
  if (await_zygote(seat.app)) return;
  const auto launched = launch(seat);
  if (launched) return;
  const std::string problem = "cannot start a worker: " + launched.error().message;
  if (duty_ == Duty::kStandBy) return observer_.app_failed(*this, seat.app.name, problem);
  const auto wait = seat.policy.on_death(Death::kBeforeReady, Clock::duration::zero());
  log_.error("app '{}': {}; next attempt in {:.1f} s", seat.app.name, problem, seconds(wait));
  restart_later(seat, wait);
  count_first_failure(seat, launched.error().message);
}

Result<void> WorkerPool::launch(Seat& seat) {
  auto worker = WorkerProcess::launch(ground_, *generation_, seat.app.name,
                                      static_cast<Child::Owner&>(*this), seat.app.zygote.get());
  if (!worker) return Unexpected{std::move(worker).error()};
  (seat.worker == nullptr ? seat.worker : seat.successor) = worker->get();
  workers_.push_back(*std::move(worker));
  return {};
}

void WorkerPool::restart_later(Seat& seat, Clock::duration wait) {
  if (duty_ == Duty::kLeave || !edge_present_) return;
  // A turn of the loop lies between a death and the next start even if there is no wait.
  seat.timer.start(std::chrono::ceil<std::chrono::microseconds>(wait));
}

void WorkerPool::on_seat_timer(void* seat) {
  auto& self = *static_cast<Seat*>(seat);
  if (self.worker == nullptr && self.successor == nullptr) return self.pool.start(self);
  if (self.replaces != LeaveReason::kNone && self.successor == nullptr) {
    self.pool.recycle(self, self.replaces);
  }
}

// --- who is who ----------------------------------------------------------------------------------

WorkerPool::App& WorkerPool::app_of(const WorkerProcess& worker) const {
  const auto found = std::find_if(apps_.begin(), apps_.end(), [&worker](const auto& app) {
    return app->name == worker.facts().app;
  });
  SAOLA_CHECK(found != apps_.end());
  return **found;
}

// Null: it has lost its seat.
WorkerPool::Seat* WorkerPool::seat_of(const WorkerProcess& worker) const {
  for (const auto& seat : app_of(worker).seats) {
    if (seat->worker == &worker || seat->successor == &worker) return seat.get();
  }
  return nullptr;
}

WorkerProcess& WorkerPool::worker_of(const Child& child) const {
  const auto found = std::find_if(workers_.begin(), workers_.end(),
                                  [&child](const auto& w) { return &w->child() == &child; });
  SAOLA_CHECK(found != workers_.end());
  return **found;
}

WorkerProcess* WorkerPool::find(std::uint32_t worker_id) const {
  const auto found = std::find_if(workers_.begin(), workers_.end(),
                                  [worker_id](const auto& w) { return w->id() == worker_id; });
  return found == workers_.end() ? nullptr : found->get();
}

// --- what workers say ----------------------------------------------------------------------------

void WorkerPool::child_said(Child& child, ipc::ControlMessage& message) {
  WorkerProcess& worker = worker_of(child);
  if (const auto* ready = std::get_if<ipc::Ready>(&message)) return on_ready(worker, *ready);
  if (const auto* failed = std::get_if<ipc::BootFailed>(&message)) {
    return on_boot_failed(worker, *failed);
  }
  if (std::holds_alternative<ipc::StacksDumped>(message)) {
    return observer_.worker_stacks_dumped(worker.id());
  }
  child.give_up("sent a message that is not a worker's", Child::kBrokenGrace);
}

void WorkerPool::on_ready(WorkerProcess& worker, const ipc::Ready& ready) {
  Child& child = worker.child();
  App& app = app_of(worker);
  if (ready.interface != "wsgi" && ready.interface != "asgi") {
    return child.give_up("says that its interface is '" + ready.interface + "'",
                         Child::kBrokenGrace);
  }
  const bool wsgi = ready.interface == "wsgi";
  const int most = std::max(wsgi ? app.settings->threads : app.settings->concurrency, 1);
  worker.set_ready(ready, std::clamp(ready.slots, 1U, static_cast<std::uint32_t>(most)));
  app.interface = ready.interface;
  app.ever_ready = true;
  app.last_reason.clear();
  log_.info("{} (pid {}) serves after {:.2f} s: {}, {} at once", child.name(), child.pid(),
            seconds(loop_.now() - child.started_at()), ready.interface, worker.facts().slots);
  join_edge(worker);
  if (Seat* seat = seat_of(worker)) take_seat(*seat, worker);
  start_waiting(app);
  report_if_all_ready();
  observer_.staff_changed(*this);
}

// Without an edge it waits for the next one.
void WorkerPool::join_edge(WorkerProcess& worker) {
  if (!edge_present_) return;
  auto ends = worker.take_edge_ends();
  if (!ends) {
    return worker.child().give_up("cannot be joined to the edge: " + ends.error().message,
                                  Child::kBrokenGrace);
  }
  worker.known_to_edge = true;
  ipc::WorkerAdd add = worker.facts();
  add.standby = duty_ == Duty::kStandBy;
  observer_.worker_ready(add, ends->wire.get(), ends->claims.get());
}

// A successor's predecessor leaves as soon as the edge has the successor.
void WorkerPool::take_seat(Seat& seat, WorkerProcess& worker) {
  if (seat.successor != &worker) return;
  WorkerProcess* before = std::exchange(seat.worker, seat.successor);
  seat.successor = nullptr;
  const LeaveReason reason = std::exchange(seat.replaces, LeaveReason::kNone);
  if (before != nullptr) retire(*before, reason);
}

void WorkerPool::report_if_all_ready() {
  const auto is_ready = [](const auto& seat) {
    return seat->worker != nullptr && seat->worker->state() == WorkerState::kReady;
  };
  const bool all = std::all_of(apps_.begin(), apps_.end(), [&](const auto& app) {
    return std::all_of(app->seats.begin(), app->seats.end(), is_ready);
  });
  if (!all || complete_) return;
  complete_ = true;
  observer_.all_ready(*this);
}

void WorkerPool::on_boot_failed(WorkerProcess& worker, const ipc::BootFailed& failed) {
  App& app = app_of(worker);
  if (worker.state() != WorkerState::kBooting) return;
  if (duty_ == Duty::kStandBy) return observer_.app_failed(*this, app.name, failed.reason);
  if (failed.application && !app.ever_ready) {
    return observer_.app_failed(*this, app.name, failed.reason);
  }
  const Child& child = worker.child();
  tell_boot_failure(
      app, child.born() ? fmt::format("{} (pid {})", child.name(), child.pid()) : child.name(),
      failed.reason);
}

void WorkerPool::tell_boot_failure(App& app, const std::string& who, const std::string& reason) {
  if (reason == app.last_reason) {
    return log_.error("{} cannot start, for the same reason as before", who);
  }
  app.last_reason = reason;
  log_.write_block(LogLevel::kError, fmt::format("{} cannot start: {}", who, reason));
}

// --- deaths --------------------------------------------------------------------------------------

void WorkerPool::child_exited(Child& child, int wait_status) {
  WorkerProcess& worker = worker_of(child);
  if (worker.known_to_edge) observer_.worker_gone(worker.id());
  observer_.worker_stacks_dumped(worker.id());
  worker.mark_exited();
  App& app = app_of(worker);
  if (app.zygote && !child.born() && child.lifecycle().boot_timed_out()) {
    app.zygote->replace("does not fork");
  }
  on_death(worker, wait_status);

  const auto found = std::find_if(workers_.begin(), workers_.end(),
                                  [&worker](const auto& w) { return w.get() == &worker; });
  auto leaving = std::move(*found);
  workers_.erase(found);
  loop_.delete_later(std::move(leaving));
  start_waiting(app);
  report_if_empty();
  observer_.staff_changed(*this);
}

void WorkerPool::on_death(WorkerProcess& worker, int wait_status) {
  const auto& lifecycle = worker.child().lifecycle();
  const Death death = lifecycle.death(wait_status);
  const std::string how = last_words(worker, wait_status);
  ground_.metrics.worker_exited(worker.facts().app, exit_reason(worker, wait_status));
  Seat* seat = seat_of(worker);
  const bool was_successor = seat != nullptr && seat->successor == &worker;
  if (seat != nullptr) (was_successor ? seat->successor : seat->worker) = nullptr;
  if (seat == nullptr || duty_ == Duty::kLeave || death == Death::kAsked) {
    return log_.info("{}", how);
  }
  complete_ = false;
  if (death == Death::kCrash) ++seat->app.counters->crashes;
  if (duty_ == Duty::kStandBy) {
    log_.error("{}", how);
    return observer_.app_failed(*this, seat->app.name, how);
  }
  const auto wait = seat->policy.on_death(death, lifecycle.served());
  const std::string next =
      wait == Clock::duration::zero() ? "at once" : fmt::format("in {:.1f} s", seconds(wait));
  log_.write(death == Death::kOutside ? LogLevel::kWarning : LogLevel::kError,
             fmt::format("{}; a new worker starts {}", how, next));
  // A seat whose worker has died while its successor boots has its replacement under way.
  if (seat->successor == nullptr) restart_later(*seat, wait);
  if (!lifecycle.was_ready()) count_first_failure(*seat, describe_exit(wait_status));
}

// As saola_worker_exits_total says it. After last_words(), which recognises the OOM killer.
std::string WorkerPool::exit_reason(const WorkerProcess& worker, int wait_status) const {
  const auto& lifecycle = worker.child().lifecycle();
  if (worker.killed_by_oom) return "oom";
  if (worker.leaves != LeaveReason::kNone) return to_string(worker.leaves);
  switch (lifecycle.death(wait_status)) {
    case Death::kAsked:
      return "stop";
    case Death::kBeforeReady:
      return "boot_failure";
    case Death::kOutside:
      return "killed";
    case Death::kCrash:
      break;
  }
  return "crash";
}

// "worker app 3 (pid 4711) died after serving for 12.3 s: killed by SIGSEGV; it was running 2
// requests".
std::string WorkerPool::last_words(WorkerProcess& worker, int wait_status) {
  const Child& child = worker.child();
  const auto& lifecycle = child.lifecycle();
  if (lifecycle.death(wait_status) == Death::kAsked) {
    const char* why = to_string(worker.leaves);
    return fmt::format("{} (pid {}) has ended{}{}: {}", child.name(), child.pid(),
                       *why == '\0' ? "" : ", because of ", why, describe_exit(wait_status));
  }
  if (!child.born()) return fmt::format("{} could not be forked", child.name());
  std::string text =
      lifecycle.was_ready()
          ? fmt::format("{} (pid {}) died after {:.1f} s of service: {}", child.name(), child.pid(),
                        seconds(lifecycle.served()), describe_exit(wait_status))
          : fmt::format("{} (pid {}) died before it could serve: {}", child.name(), child.pid(),
                        describe_exit(wait_status));
  if (WIFSIGNALED(wait_status) && WTERMSIG(wait_status) == SIGKILL && ground_.oom.has_killed()) {
    ++app_of(worker).counters->oom_kills;
    worker.killed_by_oom = true;
    text +=
        " (by the kernel's OOM killer: the memory limit is too low, or the app needs max_memory)";
  }
  if (const auto running = worker.running(); running > 0) {
    text += fmt::format("; it was running {} request{}", running, running == 1 ? "" : "s");
  }
  return text;
}

void WorkerPool::count_first_failure(Seat& seat, const std::string& how) {
  if (seat.app.ever_ready || seat.policy.failures() < kFirstAttempts) return;
  observer_.app_failed(*this, seat.app.name,
                       fmt::format("its workers die before they can serve ({} attempts; the last: "
                                   "{})",
                                   kFirstAttempts, how));
}

bool WorkerPool::wire_lost(std::uint32_t worker_id, const std::string& reason) {
  WorkerProcess* worker = find(worker_id);
  if (worker == nullptr) return false;
  // One that was told to end closes its end of the wire before it does.
  if (worker->state() >= WorkerState::kDraining) return true;
  worker->child().give_up("lost its connection to the edge: " + reason, Child::kBrokenGrace);
  return true;
}

void WorkerPool::serve() { duty_ = Duty::kServe; }

void WorkerPool::edge_lost() {
  edge_present_ = false;
  for (auto& worker : workers_) worker->known_to_edge = false;
}

void WorkerPool::edge_ready() {
  edge_present_ = true;
  // Not over workers_: joining may lose one.
  std::vector<WorkerProcess*> all;
  for (auto& worker : workers_) all.push_back(worker.get());
  for (WorkerProcess* worker : all) {
    if (worker->state() == WorkerState::kReady) join_edge(*worker);
    // Its clients have gone with the old edge: nothing is left to wait for.
    if (worker->state() == WorkerState::kRetiring) {
      worker->child().drain(std::max(worker->leave_deadline, loop_.now() + kLastGrace));
    }
  }
  for (auto& app : apps_) start_waiting(*app);
}

// --- leaving -------------------------------------------------------------------------------------

void WorkerPool::start_nothing_more(Clock::duration zygote_grace) {
  duty_ = Duty::kLeave;
  tick_timer_.cancel();
  for (auto& app : apps_) {
    if (app->zygote) app->zygote->stop(zygote_grace);
    for (auto& seat : app->seats) seat->timer.cancel();
  }
}

void WorkerPool::leave(Clock::time_point deadline) {
  start_nothing_more();
  for (auto& worker : workers_) let_go(*worker, deadline);
  report_if_empty();
}

// The edge knows.
void WorkerPool::let_go(WorkerProcess& worker, Clock::time_point deadline) {
  if (worker.leaves == LeaveReason::kNone) {
    worker.leaves = LeaveReason::kReload;
    worker.leave_deadline = deadline;
    ++app_of(worker).counters->left[static_cast<std::size_t>(LeaveReason::kReload)];
  }
  worker.child().retire(deadline);
}

void WorkerPool::drain_all(Clock::time_point deadline) {
  start_nothing_more();
  for (auto& worker : workers_) worker->child().drain(deadline);
  report_if_empty();
}

void WorkerPool::stop_all(Clock::duration grace) {
  start_nothing_more(grace);
  for (auto& worker : workers_) worker->child().stop(grace);
  report_if_empty();
}

void WorkerPool::report_if_empty() {
  if (duty_ == Duty::kLeave && empty()) observer_.pool_empty(*this);
}

void WorkerPool::reopen_logs() {
  for (auto& app : apps_) {
    if (app->zygote) app->zygote->reopen_logs();
  }
  for (auto& worker : workers_) {
    worker->child().send(ipc::ReopenLogs{false}, {generation_->logs.error.get()});
  }
}

}  // namespace saola::control
