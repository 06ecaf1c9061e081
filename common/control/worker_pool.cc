#include "common/control/worker_pool.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <utility>

#include "common/control/cpu_quota.h"
#include "common/control/exit_status.h"
#include "common/ipc/claim_table.h"

namespace saola::control {
namespace {

// Generations come with reload; the workers of one start are the first.
constexpr std::uint32_t kGeneration = 1;

// A stream socket's bytes are charged to its sender alone, so this is all that can be unsent in one
// direction: a few of the largest frames, so that bodies flow at memory speed, and little enough
// that a head behind them waits for microseconds. The kernel doubles it for its own bookkeeping and
// caps it at net.core.wmem_max.
constexpr int kWireSendBuffer = 256 * 1024;

// Slots that the edge finds free while the frames that end earlier requests are still under way.
constexpr std::size_t kSpareSlots = 16;

std::size_t claim_slots(const config::App& app) {
  // Which of the two counts is known only once the app is loaded.
  const auto at_once = static_cast<std::size_t>(std::max({app.threads, app.concurrency, 1}));
  const auto ahead = static_cast<std::size_t>(std::max(app.prefetch, 0));
  return std::min(std::bit_ceil(at_once + ahead + kSpareSlots), ipc::ClaimTable::kMaxSlots);
}

Result<std::pair<UniqueFd, UniqueFd>> make_wire() {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()) != 0) {
    return Unexpected{system_error("make a wire socket pair", errno)};
  }
  for (const int end : ends) {
    // Refused: the default works, with more turns for large bodies.
    ::setsockopt(end, SOL_SOCKET, SO_SNDBUF, &kWireSendBuffer, sizeof kWireSendBuffer);
  }
  return std::pair(UniqueFd(ends[0]), UniqueFd(ends[1]));
}

double seconds(Clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

}  // namespace

struct WorkerPool::App {
  std::string name;
  config::App settings;
  std::string interface;  // found by the first worker that was ready
  bool ever_ready = false;
  std::string last_reason;  // of a BootFailed: a crash loop shows its traceback once
};

struct WorkerPool::Seat {
  Seat(WorkerPool& owner, App& of)
      : pool(owner), app(of), timer(owner.loop_, on_seat_timer, this) {}
  WorkerPool& pool;
  App& app;
  RestartPolicy policy;
  Timer timer;
  Worker* worker = nullptr;  // null: none, or the timer runs
};

struct WorkerPool::Worker final : Deletable {
  std::uint32_t id = 0;
  std::uint32_t slot = 0;
  App* app = nullptr;
  Seat* seat = nullptr;  // null: it has been replaced, or is to be
  UniqueFd edge_wire;    // until the edge has it
  UniqueFd claims;
  bool known_to_edge = false;
  std::unique_ptr<Child> child;
};

WorkerPool::WorkerPool(EventLoop& loop, Launcher& launcher, const Logger& log,
                       const config::Config& config, const SupervisionFiles& files,
                       ipc::Scoreboard& scoreboard, Observer& observer)
    : loop_(loop),
      launcher_(launcher),
      log_(log),
      files_(files),
      scoreboard_(scoreboard),
      observer_(observer) {
  for (const auto& [name, settings] : config.apps) {
    auto& app = *apps_.emplace_back(std::make_unique<App>());
    app.name = name;
    app.settings = settings;
    const int count = settings.workers > 0 ? settings.workers : available_cpus();
    for (int i = 0; i < count; ++i) seats_.push_back(std::make_unique<Seat>(*this, app));
  }
}

WorkerPool::~WorkerPool() = default;

// --- starting ------------------------------------------------------------------------------------

void WorkerPool::start() {
  edge_present_ = true;
  for (auto& seat : seats_) {
    if (seat->worker == nullptr && !seat->timer.active()) start(*seat);
  }
}

void WorkerPool::start(Seat& seat) {
  if (stopping_ || !edge_present_) return;
  const auto launched = launch(seat);
  if (launched) return;
  const auto wait = seat.policy.on_death(Death::kBeforeReady, Clock::duration::zero());
  log_.error("app '{}': cannot start a worker: {}; next attempt in {:.1f} s", seat.app.name,
             launched.error().message, seconds(wait));
  restart_later(seat, wait);
  count_first_failure(seat, launched.error().message);
}

Result<void> WorkerPool::launch(Seat& seat) {
  const std::uint32_t slot = free_slot();
  if (slot == ipc::Scoreboard::kSlots) return fail("too many workers at once");
  auto wire = make_wire();
  if (!wire) return Unexpected{std::move(wire).error()};
  auto claims = ipc::ClaimTable::create_file(claim_slots(seat.app.settings));
  if (!claims) return Unexpected{std::move(claims).error()};

  auto worker = std::make_unique<Worker>();
  worker->id = ++last_id_;
  worker->slot = slot;
  worker->app = &seat.app;
  worker->seat = &seat;
  worker->edge_wire = std::move(wire->first);
  worker->claims = *std::move(claims);
  const std::string name = fmt::format("worker {} {}", seat.app.name, worker->id);
  worker->child = std::make_unique<Child>(loop_, launcher_, log_, static_cast<Child::Owner&>(*this),
                                          name, seat.app.settings.boot_timeout);
  auto& record = scoreboard_.slot(slot);
  record.pid = 0;
  record.worker_id = worker->id;
  record.generation = kGeneration;
  record.heartbeat_ns = 0;
  record.loop_turn_ns = 0;
  record.requests_started = 0;
  record.requests_finished = 0;
  record.phase = static_cast<std::uint32_t>(ipc::WorkerPhase::kBooting);

  std::string title = "saola: " + name;
  if (!seat.app.settings.process_name.empty()) {
    title += " [" + seat.app.settings.process_name + "]";
  }
  if (auto launched = worker->child->launch(title, "worker"); !launched) {
    record.phase = static_cast<std::uint32_t>(ipc::WorkerPhase::kExited);
    return launched;
  }
  worker->child->send(ipc::WorkerInit{worker->id, kGeneration, slot, seat.app.name},
                      {files_.worker_start.get(), wire->second.get(), worker->claims.get(),
                       files_.scoreboard.get(), files_.error_log.get()});
  seat.worker = worker.get();
  workers_.push_back(std::move(worker));
  return {};
}

std::uint32_t WorkerPool::free_slot() const {
  std::array<bool, ipc::Scoreboard::kSlots> taken{};
  for (const auto& worker : workers_) taken[worker->slot] = true;
  return static_cast<std::uint32_t>(std::find(taken.begin(), taken.end(), false) - taken.begin());
}

void WorkerPool::restart_later(Seat& seat, Clock::duration wait) {
  if (stopping_ || !edge_present_) return;
  // A turn of the loop lies between a death and the next start even if there is no wait.
  seat.timer.start(std::chrono::ceil<std::chrono::microseconds>(wait));
}

void WorkerPool::on_seat_timer(void* seat) {
  auto& self = *static_cast<Seat*>(seat);
  if (self.worker == nullptr) self.pool.start(self);
}

// --- what workers say ----------------------------------------------------------------------------

WorkerPool::Worker& WorkerPool::worker_of(const Child& child) {
  const auto found = std::find_if(workers_.begin(), workers_.end(),
                                  [&child](const auto& w) { return w->child.get() == &child; });
  SAOLA_CHECK(found != workers_.end());
  return **found;
}

void WorkerPool::child_said(Child& child, ipc::ControlMessage& message) {
  Worker& worker = worker_of(child);
  if (const auto* ready = std::get_if<ipc::Ready>(&message)) return on_ready(worker, *ready);
  if (const auto* failed = std::get_if<ipc::BootFailed>(&message)) {
    return on_boot_failed(worker, *failed);
  }
  child.give_up("sent a message that is not a worker's", Child::kBrokenGrace);
}

void WorkerPool::on_ready(Worker& worker, const ipc::Ready& ready) {
  Child& child = *worker.child;
  App& app = *worker.app;
  if (ready.interface != "wsgi" && ready.interface != "asgi") {
    return child.give_up("says that its interface is '" + ready.interface + "'",
                         Child::kBrokenGrace);
  }
  const bool wsgi = ready.interface == "wsgi";
  const int most = std::max(wsgi ? app.settings.threads : app.settings.concurrency, 1);
  const auto slots = std::clamp(ready.slots, 1U, static_cast<std::uint32_t>(most));
  app.interface = ready.interface;
  app.ever_ready = true;
  app.last_reason.clear();
  log_.info("{} (pid {}) serves after {:.2f} s: {}, {} at once", child.name(), child.pid(),
            seconds(loop_.now() - child.started_at()), ready.interface, slots);
  worker.known_to_edge = true;
  observer_.worker_ready({worker.id, kGeneration, static_cast<std::uint32_t>(child.pid()),
                          worker.slot, app.name, slots, wsgi},
                         worker.edge_wire.get(), worker.claims.get());
  worker.edge_wire.reset();
  worker.claims.reset();
  const bool all = std::all_of(seats_.begin(), seats_.end(), [](const auto& seat) {
    return seat->worker != nullptr &&
           seat->worker->child->lifecycle().state() == WorkerState::kReady;
  });
  if (all && !std::exchange(complete_, true)) observer_.all_ready();
}

void WorkerPool::on_boot_failed(Worker& worker, const ipc::BootFailed& failed) {
  App& app = *worker.app;
  if (worker.child->lifecycle().state() != WorkerState::kBooting) return;
  if (failed.application && !app.ever_ready) return observer_.app_failed(app.name, failed.reason);
  if (failed.reason == app.last_reason) {
    log_.error("{} (pid {}) cannot start, for the same reason as before", worker.child->name(),
               worker.child->pid());
    return;
  }
  app.last_reason = failed.reason;
  log_.write_block(LogLevel::kError,
                   fmt::format("{} (pid {}) cannot start: {}", worker.child->name(),
                               worker.child->pid(), failed.reason));
}

// --- deaths --------------------------------------------------------------------------------------

void WorkerPool::child_exited(Child& child, int wait_status) {
  Worker& worker = worker_of(child);
  if (worker.known_to_edge) observer_.worker_gone(worker.id);
  scoreboard_.slot(worker.slot).phase = static_cast<std::uint32_t>(ipc::WorkerPhase::kExited);
  on_death(worker, wait_status);

  const auto found = std::find_if(workers_.begin(), workers_.end(),
                                  [&worker](const auto& w) { return w.get() == &worker; });
  auto leaving = std::move(*found);
  workers_.erase(found);
  loop_.delete_later(std::move(leaving));
  report_if_empty();
}

void WorkerPool::on_death(Worker& worker, int wait_status) {
  const auto& lifecycle = worker.child->lifecycle();
  const Death death = lifecycle.death(wait_status);
  const std::string how = last_words(worker, wait_status);
  if (worker.seat == nullptr || stopping_ || death == Death::kAsked) {
    log_.info("{}", how);
    if (worker.seat != nullptr) worker.seat->worker = nullptr;
    return;
  }
  Seat& seat = *worker.seat;
  seat.worker = nullptr;
  complete_ = false;
  const auto wait = seat.policy.on_death(death, lifecycle.served());
  const std::string next =
      wait == Clock::duration::zero() ? "at once" : fmt::format("in {:.1f} s", seconds(wait));
  log_.write(death == Death::kOutside ? LogLevel::kWarning : LogLevel::kError,
             fmt::format("{}; a new worker starts {}", how, next));
  restart_later(seat, wait);
  if (!lifecycle.was_ready()) count_first_failure(seat, describe_exit(wait_status));
}

// "worker app 3 (pid 4711) died after serving for 12.3 s: killed by SIGSEGV; it was running 2
// requests".
std::string WorkerPool::last_words(const Worker& worker, int wait_status) {
  const Child& child = *worker.child;
  const auto& lifecycle = child.lifecycle();
  if (lifecycle.death(wait_status) == Death::kAsked) {
    return fmt::format("{} (pid {}) has ended: {}", child.name(), child.pid(),
                       describe_exit(wait_status));
  }
  std::string text =
      lifecycle.was_ready()
          ? fmt::format("{} (pid {}) died after {:.1f} s of service: {}", child.name(), child.pid(),
                        seconds(lifecycle.served()), describe_exit(wait_status))
          : fmt::format("{} (pid {}) died before it could serve: {}", child.name(), child.pid(),
                        describe_exit(wait_status));
  const auto& record = scoreboard_.slot(worker.slot);
  const std::uint64_t started = record.requests_started;
  const std::uint64_t finished = record.requests_finished;
  // The worker wrote these; what makes no sense is not shown.
  if (started > finished && started - finished <= ipc::ClaimTable::kMaxSlots) {
    text += fmt::format("; it was running {} request{}", started - finished,
                        started - finished == 1 ? "" : "s");
  }
  return text;
}

void WorkerPool::count_first_failure(Seat& seat, const std::string& how) {
  if (seat.app.ever_ready || seat.policy.failures() < kFirstAttempts) return;
  observer_.app_failed(seat.app.name, fmt::format("its workers die before they can serve ({} "
                                                  "attempts; the last: {})",
                                                  kFirstAttempts, how));
}

void WorkerPool::wire_lost(std::uint32_t worker_id, const std::string& reason) {
  for (auto& worker : workers_) {
    if (worker->id != worker_id) continue;
    worker->child->give_up("lost its connection to the edge: " + reason, Child::kBrokenGrace);
  }
}

// --- leaving -------------------------------------------------------------------------------------

void WorkerPool::edge_lost(Clock::time_point deadline) {
  edge_present_ = false;
  complete_ = false;
  for (auto& seat : seats_) {
    seat->timer.cancel();
    seat->worker = nullptr;
  }
  for (auto& worker : workers_) {
    worker->seat = nullptr;
    worker->known_to_edge = false;
    worker->child->drain(deadline);
  }
}

void WorkerPool::drain_all(Clock::time_point deadline) {
  stopping_ = true;
  for (auto& seat : seats_) seat->timer.cancel();
  for (auto& worker : workers_) worker->child->drain(deadline);
  report_if_empty();
}

void WorkerPool::stop_all(Clock::duration grace) {
  stopping_ = true;
  for (auto& seat : seats_) seat->timer.cancel();
  for (auto& worker : workers_) worker->child->stop(grace);
  report_if_empty();
}

void WorkerPool::report_if_empty() {
  if (stopping_ && workers_.empty()) observer_.pool_empty();
}

void WorkerPool::reopen_logs() {
  for (auto& worker : workers_) {
    worker->child->send(ipc::ReopenLogs{false}, {files_.error_log.get()});
  }
}

std::string WorkerPool::describe() const {
  std::string text;
  for (const auto& app : apps_) {
    const auto count = std::count_if(seats_.begin(), seats_.end(),
                                     [&app](const auto& seat) { return &seat->app == app.get(); });
    text += fmt::format("{}{}: {} worker{} ({})", text.empty() ? "" : ", ", app->name, count,
                        count == 1 ? "" : "s", app->interface.empty() ? "?" : app->interface);
  }
  return text;
}

}  // namespace saola::control
