// WorkerPool, the part that looks after workers that live: recycling, hangs, scaling, status.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "common/control/process_memory.h"
#include "common/control/worker_pool.h"
#include "common/control/worker_pool_seats.h"

namespace saola::control {
namespace {

constexpr std::chrono::seconds kTick{1};
// Requests are counted in thousands per second: a count is looked at more often.
constexpr std::chrono::milliseconds kCountingTick{100};
constexpr std::chrono::seconds kMemorySample{5};
// A tick that comes so late means that this process was held up itself, and maybe everybody was.
constexpr std::chrono::seconds kHeldUp{2};

double seconds(Clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

}  // namespace

// --- replacing what lives ------------------------------------------------------------------------

// Gets nothing more from the edge; is told to end once it is idle.
void WorkerPool::retire(WorkerProcess& worker, LeaveReason reason) {
  if (worker.leaves != LeaveReason::kNone) return;
  const auto& server = generation_->config.server;
  worker.leaves = reason;
  worker.leave_deadline =
      loop_.now() + std::max(server.graceful_timeout, server.stream_drain_timeout);
  ++app_of(worker).counters->left[static_cast<std::size_t>(reason)];
  Child& child = worker.child();
  if (reason == LeaveReason::kHang && is_hung(worker)) return child.kill("gives no sign of life");
  if (!worker.known_to_edge) return child.drain(worker.leave_deadline);
  observer_.worker_leaves(worker.id());
  child.retire(worker.leave_deadline);
}

bool WorkerPool::worker_idle(std::uint32_t worker_id) {
  WorkerProcess* worker = find(worker_id);
  if (worker == nullptr) return false;
  if (worker->state() != WorkerState::kRetiring) return true;
  // What ignores its time-out is not waited for any more; the others may have work after their
  // answers.
  const auto soon = loop_.now() + kLastGrace;
  const bool overdue = worker->leaves == LeaveReason::kTimeout;
  worker->child().drain(overdue ? soon : std::max(worker->leave_deadline, soon));
  return true;
}

bool WorkerPool::worker_overdue(std::uint32_t worker_id, const std::string& reason) {
  WorkerProcess* worker = find(worker_id);
  if (worker == nullptr) return false;
  const Child& child = worker->child();
  log_.error("{} (pid {}): {}", child.name(), child.pid(), reason);
  ask_for_stacks(*worker, reason);
  Seat* seat = seat_of(*worker);
  if (seat != nullptr && seat->worker == worker) recycle(*seat, LeaveReason::kTimeout);
  return true;
}

// The worker stays until its successor is ready.
void WorkerPool::recycle(Seat& seat, LeaveReason reason) {
  if (duty_ != Duty::kServe || !edge_present_ || seat.worker == nullptr) return;
  if (seat.replaces == LeaveReason::kNone) {
    const Child& child = seat.worker->child();
    log_.info("{} (pid {}) is to be replaced: {}, after {} requests and {:.1f} s", child.name(),
              child.pid(), to_string(reason),
              seat.worker->record().requests_started.load(std::memory_order_relaxed),
              seconds(loop_.now() - seat.worker->ready_at));
    seat.replaces = reason;
  }
  if (seat.successor != nullptr || seat.timer.active() || await_zygote(seat.app)) return;
  if (const auto launched = launch(seat); !launched) {
    const auto wait = seat.policy.on_death(Death::kBeforeReady, Clock::duration::zero());
    log_.error("app '{}': cannot start a worker: {}; next attempt in {:.1f} s", seat.app.name,
               launched.error().message, seconds(wait));
    restart_later(seat, wait);
  }
}

Result<std::string> WorkerPool::recycle(std::uint32_t worker_id) {
  if (duty_ != Duty::kServe) return fail("this generation is not the one that serves");
  WorkerProcess* worker = find(worker_id);
  Seat* seat = worker != nullptr ? seat_of(*worker) : nullptr;
  if (seat == nullptr || seat->worker != worker || worker->state() != WorkerState::kReady) {
    return fail(fmt::format("there is no worker {} that serves", worker_id));
  }
  recycle(*seat, LeaveReason::kAsked);
  return fmt::format("worker {} leaves when its successor is ready", worker_id);
}

int WorkerPool::being_recycled(const App& app) const {
  int count = 0;
  for (const auto& seat : app.seats) count += seat->replaces != LeaveReason::kNone ? 1 : 0;
  for (const auto& worker : workers_) {
    const bool leaves =
        worker->leaves != LeaveReason::kNone && worker->leaves != LeaveReason::kScale;
    count += leaves && worker->facts().app == app.name ? 1 : 0;
  }
  return count;
}

// --- watching ------------------------------------------------------------------------------------

Clock::duration WorkerPool::tick() const {
  const bool counts = std::any_of(apps_.begin(), apps_.end(),
                                  [](const auto& app) { return app->settings->max_requests > 0; });
  return counts ? Clock::duration(kCountingTick) : kTick;
}

void WorkerPool::on_tick(void* self) {
  auto& pool = *static_cast<WorkerPool*>(self);
  const auto now = pool.loop_.now();
  const bool held_up = now - pool.last_tick_ > pool.tick() + kHeldUp;
  const bool sample = now - pool.memory_sampled_ >= kMemorySample;
  pool.last_tick_ = now;
  if (sample) pool.memory_sampled_ = now;
  pool.tick_timer_.start(std::chrono::ceil<std::chrono::microseconds>(pool.tick()));
  if (pool.duty_ != Duty::kServe) return;
  for (auto& app : pool.apps_) {
    // The oldest first: when several are due, each gets its turn.
    std::vector<Seat*> seats;
    for (auto& seat : app->seats) {
      if (seat->worker != nullptr) seats.push_back(seat.get());
    }
    std::sort(seats.begin(), seats.end(),
              [](const Seat* a, const Seat* b) { return a->worker->id() < b->worker->id(); });
    for (Seat* seat : seats) pool.watch_over(*seat, sample, !held_up);
  }
}

bool WorkerPool::is_hung(const WorkerProcess& worker) const {
  const auto& record = worker.record();
  return control::is_hung(std::chrono::steady_clock::now(),
                          std::chrono::nanoseconds(record.heartbeat_ns.load()),
                          std::chrono::nanoseconds(record.loop_turn_ns.load()), worker.is_asgi(),
                          app_of(worker).settings->hang_timeout);
}

void WorkerPool::watch_over(Seat& seat, bool sample_memory, bool judge_silence) {
  WorkerProcess* worker = seat.worker;
  if (worker == nullptr || worker->state() != WorkerState::kReady) return;
  if (judge_silence && seat.replaces != LeaveReason::kHang && is_hung(*worker)) {
    const Child& child = worker->child();
    const std::string why = fmt::format("no sign of life for {:.1f} s (hang_timeout)",
                                        seconds(seat.app.settings->hang_timeout));
    log_.error("{} (pid {}): {}; it is running {} requests", child.name(), child.pid(), why,
               worker->running());
    ask_for_stacks(*worker, why);
    recycle(seat, LeaveReason::kHang);
    seat.replaces = LeaveReason::kHang;  // also if it was to leave for another reason
    return;
  }
  // During a rolling reload everybody's turn comes anyway.
  if (seat.replaces != LeaveReason::kNone || paced_ || yielding_) return;
  if (sample_memory && worker->policy.watches_memory()) {
    worker->memory_bytes = used_memory(worker->child().pid());
  }
  const LeaveReason reason = worker->policy.due(
      {worker->record().requests_started, worker->memory_bytes, loop_.now() - worker->ready_at});
  if (reason == LeaveReason::kNone) return;
  if (being_recycled(seat.app) >= seat.app.settings->recycle_concurrency) return;
  if (may_boot(seat.app)) recycle(seat, reason);
}

void WorkerPool::ask_for_stacks(WorkerProcess& worker, const std::string& why) {
  worker.child().send(ipc::DumpStacks{why});
}

std::vector<std::uint32_t> WorkerPool::dump_stacks(std::optional<std::uint32_t> worker_id,
                                                   const std::string& why) {
  std::vector<std::uint32_t> asked;
  for (auto& worker : workers_) {
    if (worker_id && worker->id() != *worker_id) continue;
    if (worker->state() == WorkerState::kKilled) continue;
    ask_for_stacks(*worker, why);
    asked.push_back(worker->id());
  }
  return asked;
}

// --- how many ------------------------------------------------------------------------------------

WorkerPool::App* WorkerPool::find_app(const std::string& name) const {
  if (name.empty() && apps_.size() == 1) return apps_.front().get();
  const auto found = std::find_if(apps_.begin(), apps_.end(),
                                  [&name](const auto& app) { return app->name == name; });
  return found == apps_.end() ? nullptr : found->get();
}

int WorkerPool::wanted(const std::string& name) const {
  const App* app = find_app(name);
  return app == nullptr ? 0 : static_cast<int>(app->seats.size());
}

Result<std::string> WorkerPool::scale(const std::string& name, int workers) {
  constexpr int kMost = 1024;
  if (duty_ != Duty::kServe) return fail("this generation is not the one that serves");
  App* app = find_app(name);
  if (app == nullptr) {
    return fail(name.empty() ? std::string("there are several apps: say which")
                             : fmt::format("there is no app '{}'", name));
  }
  if (workers < 1 || workers > kMost) {
    return fail(fmt::format("the number of workers must be from 1 to {}, not {}", kMost, workers));
  }
  const auto before = app->seats.size();
  const auto count = static_cast<std::size_t>(workers);
  while (app->seats.size() > count) remove_seat(*app, LeaveReason::kScale);
  while (app->seats.size() < count) app->seats.push_back(std::make_unique<Seat>(*this, *app));
  std::string said =
      fmt::format("app '{}': {} workers wanted, {} before", app->name, count, before);
  if (count != before) log_.info("{}", said);
  if (count > before) {
    complete_ = false;
    start_waiting(*app);
  } else {
    report_if_all_ready();
  }
  return said;
}

// One without a worker if there is one, else the last.
void WorkerPool::remove_seat(App& app, LeaveReason reason) {
  const auto at = std::find_if(app.seats.begin(), app.seats.end(), [](const auto& seat) {
    return seat->worker == nullptr || seat->worker->state() != WorkerState::kReady;
  });
  const auto index = static_cast<std::size_t>(at - app.seats.begin());
  close_seat(app, std::min(index, app.seats.size() - 1), reason);
}

void WorkerPool::close_seat(App& app, std::size_t index, LeaveReason reason) {
  const std::unique_ptr<Seat> seat = std::move(app.seats[index]);
  app.seats.erase(app.seats.begin() + static_cast<std::ptrdiff_t>(index));
  if (seat->successor != nullptr) seat->successor->child().stop();
  if (seat->worker != nullptr) retire(*seat->worker, reason);
}

// --- what others want to know --------------------------------------------------------------------

std::string WorkerPool::describe() const {
  std::string text;
  for (const auto& app : apps_) {
    const auto count = app->seats.size();
    text += fmt::format("{}{}: {} worker{} ({})", text.empty() ? "" : ", ", app->name, count,
                        count == 1 ? "" : "s", app->interface.empty() ? "?" : app->interface);
  }
  return text;
}

std::vector<std::uint32_t> WorkerPool::ready_workers(const std::string& app) const {
  std::vector<std::uint32_t> ids;
  for (const auto& worker : workers_) {
    if (worker->facts().app == app && worker->state() == WorkerState::kReady) {
      ids.push_back(worker->id());
    }
  }
  return ids;
}

std::uint64_t WorkerPool::slots(const std::string& app) const {
  for (const auto& worker : workers_) {
    if (worker->facts().app == app && worker->state() == WorkerState::kReady) {
      return worker->facts().slots;
    }
  }
  return 1;
}

void WorkerPool::add_status(Status& status) const {
  for (const auto& worker : workers_) {
    WorkerStatus shown;
    shown.id = worker->id();
    shown.app = worker->facts().app;
    shown.generation = generation_->number;
    shown.pid = worker->child().pid();
    shown.state = to_string(worker->state());
    shown.age_seconds = seconds(loop_.now() - worker->child().started_at());
    shown.requests_started = worker->record().requests_started;
    shown.requests_finished = worker->record().requests_finished;
    shown.memory_bytes = resident_memory(worker->child().pid());
    shown.leaving_because = to_string(worker->leaves);
    const Seat* seat = seat_of(*worker);
    if (shown.leaving_because.empty() && seat != nullptr && seat->worker == worker.get()) {
      shown.leaving_because =
          to_string(yielding_ && seat->replaces == LeaveReason::kNone ? LeaveReason::kReload
                                                                      : seat->replaces);
    }
    status.workers.push_back(std::move(shown));
  }
  if (duty_ != Duty::kServe || yielding_) return;
  for (const auto& app : apps_) {
    AppStatus shown;
    shown.name = app->name;
    shown.target = app->settings->target;
    shown.interface = app->interface;
    shown.workers = static_cast<int>(app->seats.size());
    const bool follows = app->settings->workers_max > 0;
    shown.workers_min = follows ? app->settings->workers : shown.workers;
    shown.workers_max = follows ? app->settings->workers_max : shown.workers;
    shown.crashes = app->counters->crashes;
    for (std::size_t i = 1; i < kLeaveReasons; ++i) {
      if (app->counters->left[i] == 0) continue;
      shown.recycled.emplace_back(to_string(static_cast<LeaveReason>(i)), app->counters->left[i]);
    }
    shown.crash_looping = std::any_of(app->seats.begin(), app->seats.end(), [](const auto& seat) {
      return seat->policy.failures() >= kFirstAttempts;
    });
    status.apps.push_back(std::move(shown));
  }
}

}  // namespace saola::control
