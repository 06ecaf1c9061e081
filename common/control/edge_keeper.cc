#include "common/control/edge_keeper.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <utility>

#include "common/control/exit_status.h"
#include "common/control/recycle_policy.h"

namespace saola::control {
namespace {

double seconds(Clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

constexpr std::chrono::seconds kWatch{1};
// A look that comes so late means nothing.
constexpr std::chrono::seconds kHeldUp{2};

// In the order of EdgeInit and EdgePrepare.
std::vector<int> descriptors(const Generation& generation, const SharedMemory& memory) {
  std::vector<int> fds{generation.edge_start.get(), memory.scoreboard_file().get(),
                       memory.metrics_file().get(), generation.logs.error.get()};
  if (generation.logs.access) fds.push_back(generation.logs.access.get());
  const auto listeners = generation.sockets.descriptors();
  fds.insert(fds.end(), listeners.begin(), listeners.end());
  return fds;
}

std::uint32_t listener_count(const Generation& generation) {
  return static_cast<std::uint32_t>(generation.sockets.sockets().size());
}

}  // namespace

EdgeKeeper::EdgeKeeper(EventLoop& loop, Launcher& launcher, const Logger& log, SharedMemory& memory,
                       std::shared_ptr<const Generation> generation, Observer& observer)
    : loop_(loop),
      launcher_(launcher),
      log_(log),
      memory_(memory),
      generation_(std::move(generation)),
      observer_(observer),
      restart_(loop, on_restart, this),
      watch_(loop, on_watch, this) {}

std::string EdgeKeeper::title() const {
  for (const auto& [name, app] : generation_->config.apps) {
    if (!app.process_name.empty()) return "saola: edge [" + app.process_name + "]";
  }
  return "saola: edge";
}

void EdgeKeeper::start() {
  if (child_ != nullptr || leaving_) return;
  child_ = std::make_unique<Child>(loop_, launcher_, log_, static_cast<Child::Owner&>(*this),
                                   "edge", kBootTimeout);
  if (auto launched = child_->launch(title(), "edge"); !launched) {
    child_.reset();
    return launch_failed(launched.error().message);
  }
  memory_.scoreboard().server().edge_heartbeat_ns = 0;
  const auto fds = descriptors(*generation_, memory_);
  child_->send(ipc::EdgeInit{generation_->logs.access.valid(), listener_count(*generation_),
                             generation_->number},
               fds);
  if (releasing_) child_->send(ipc::ReleaseClients{});
  watch();
}

bool EdgeKeeper::adopt(const UpgradeState::Process& left) {
  child_ = std::make_unique<Child>(loop_, launcher_, log_, static_cast<Child::Owner&>(*this),
                                   "edge", kBootTimeout);
  UniqueFd control(::fcntl(left.control, F_DUPFD_CLOEXEC, 3));
  ever_ready_ = true;
  if (control && child_->adopt(left.pid, std::move(control), left.ready, Child::Origin::kOurs)) {
    watch();
    return true;
  }
  child_.reset();
  log_.error("the edge (pid {}) has gone; a new one starts", left.pid);
  return false;
}

std::optional<UpgradeState::Process> EdgeKeeper::process() const {
  if (child_ == nullptr) return std::nullopt;
  return UpgradeState::Process{child_->pid(), child_->control_fd(), child_->name(), true,
                               child_->lifecycle().state() == WorkerState::kReady};
}

void EdgeKeeper::launch_failed(const std::string& reason) {
  const auto wait = policy_.on_death(Death::kBeforeReady, Clock::duration::zero());
  log_.error("cannot start the edge: {}; next attempt in {:.1f} s", reason, seconds(wait));
  restart_.start(std::chrono::ceil<std::chrono::microseconds>(wait));
  failed_before_ready(reason);
}

void EdgeKeeper::failed_before_ready(const std::string& reason) {
  if (!ever_ready_ && policy_.failures() >= kFirstAttempts) observer_.edge_failed(reason, false);
}

// --- watching ------------------------------------------------------------------------------------

void EdgeKeeper::watch() {
  last_watch_ = std::chrono::steady_clock::now();
  watch_.start(kWatch);
}

void EdgeKeeper::on_watch(void* self) {
  auto& keeper = *static_cast<EdgeKeeper*>(self);
  const auto before = keeper.last_watch_;
  if (keeper.leaving_ || keeper.child_ == nullptr) return;  // the next start() watches again
  keeper.watch();
  // Late: this process was held up itself, and maybe everybody was.
  if (keeper.last_watch_ - before <= kWatch + kHeldUp) keeper.judge();
}

// One that starts or drains has deadlines of its own.
void EdgeKeeper::judge() {
  const auto limit = generation_->config.server.edge_hang_timeout;
  const std::chrono::nanoseconds heartbeat(memory_.scoreboard().server().edge_heartbeat_ns.load());
  if (child_->lifecycle().state() != WorkerState::kReady) return;
  if (!is_hung(last_watch_, heartbeat, {}, false, limit)) return;
  child_->kill(
      fmt::format("no sign of life for {:.1f} s (server.edge_hang_timeout)", seconds(limit)));
}

void EdgeKeeper::on_restart(void* self) { static_cast<EdgeKeeper*>(self)->start(); }

void EdgeKeeper::add_worker(const ipc::WorkerAdd& worker, int wire, int claims) {
  if (child_ != nullptr) child_->send(worker, {wire, claims});
}

void EdgeKeeper::remove_worker(std::uint32_t worker_id) {
  if (child_ != nullptr) child_->send(ipc::WorkerRemove{worker_id});
}

void EdgeKeeper::drain_worker(std::uint32_t worker_id) {
  if (child_ != nullptr) child_->send(ipc::WorkerDrain{worker_id});
}

void EdgeKeeper::probe(std::uint32_t worker_id, const std::string& host, const std::string& path) {
  if (child_ != nullptr) child_->send(ipc::WorkerProbe{worker_id, host, path});
}

void EdgeKeeper::inspect() {
  if (child_ != nullptr) child_->send(ipc::EdgeInspect{});
}

void EdgeKeeper::reopen_logs() {
  if (child_ == nullptr) return;
  const LogFiles& logs = generation_->logs;
  std::vector<int> fds{logs.error.get()};
  if (logs.access) fds.push_back(logs.access.get());
  child_->send(ipc::ReopenLogs{logs.access.valid()}, fds);
}

void EdgeKeeper::prepare(const Generation& next) {
  if (child_ == nullptr) return;
  child_->send(ipc::EdgePrepare{next.number, next.logs.access.valid(), listener_count(next)},
               descriptors(next, memory_));
}

void EdgeKeeper::commit(std::shared_ptr<const Generation> next, bool rolling) {
  generation_ = std::move(next);
  if (child_ != nullptr) child_->send(ipc::EdgeCommit{generation_->number, rolling});
}

void EdgeKeeper::abandon(const Generation& next) {
  if (child_ != nullptr) child_->send(ipc::EdgeAbandon{next.number});
}

void EdgeKeeper::release_clients() {
  if (std::exchange(releasing_, true)) return;
  if (child_ != nullptr) child_->send(ipc::ReleaseClients{});
}

void EdgeKeeper::drain(Clock::duration timeout) {
  leaving_ = true;
  restart_.cancel();
  if (child_ == nullptr) return observer_.edge_gone();
  child_->drain(loop_.now() + timeout);
}

void EdgeKeeper::stop(Clock::duration grace) {
  leaving_ = true;
  restart_.cancel();
  if (child_ == nullptr) return observer_.edge_gone();
  child_->stop(grace);
}

void EdgeKeeper::child_said(Child& child, ipc::ControlMessage& message) {
  if (std::holds_alternative<ipc::Ready>(message)) {
    ever_ready_ = true;
    return observer_.edge_ready();
  }
  if (std::holds_alternative<ipc::Drained>(message)) return observer_.edge_drained();
  if (const auto* lost = std::get_if<ipc::WorkerLost>(&message)) {
    return observer_.worker_wire_lost(lost->worker_id, lost->reason);
  }
  if (const auto* idle = std::get_if<ipc::WorkerIdle>(&message)) {
    return observer_.worker_idle(idle->worker_id);
  }
  if (const auto* overdue = std::get_if<ipc::WorkerOverdue>(&message)) {
    return observer_.worker_overdue(overdue->worker_id, overdue->reason);
  }
  if (const auto* probed = std::get_if<ipc::WorkerProbed>(&message)) {
    return observer_.worker_probed(probed->worker_id, probed->status);
  }
  if (const auto* report = std::get_if<ipc::EdgeReport>(&message)) {
    return observer_.edge_reported(*report);
  }
  if (const auto* prepared = std::get_if<ipc::EdgePrepared>(&message)) {
    return observer_.edge_prepared(prepared->generation, {});
  }
  if (const auto* refused = std::get_if<ipc::EdgeRefused>(&message)) {
    return observer_.edge_prepared(refused->generation, fail(refused->reason));
  }
  if (const auto* failed = std::get_if<ipc::BootFailed>(&message)) {
    if (child.lifecycle().state() != WorkerState::kBooting) return;
    if (!ever_ready_) return observer_.edge_failed(failed->reason, true);
    log_.write_block(LogLevel::kError, "the edge cannot start: " + failed->reason);
    return;
  }
  child.give_up("sent a message that is not an edge's", Child::kBrokenGrace);
}

void EdgeKeeper::child_exited(Child& child, int wait_status) {
  const auto& lifecycle = child.lifecycle();
  const Death death = lifecycle.death(wait_status);
  const bool was_ready = lifecycle.was_ready();
  const std::string who = fmt::format(
      "edge (pid {}) {}: {}", child.pid(),
      death == Death::kAsked ? "has ended"
      : was_ready ? fmt::format("died after {:.1f} s of service", seconds(lifecycle.served()))
                  : std::string("died before it could serve"),
      describe_exit(wait_status));
  const auto served = lifecycle.served();
  loop_.delete_later(std::move(child_));
  if (leaving_) {
    log_.write(death == Death::kAsked ? LogLevel::kInfo : LogLevel::kError, who);
    return observer_.edge_gone();
  }
  const auto wait = policy_.on_death(death, served);
  const std::string next =
      wait == Clock::duration::zero() ? "at once" : fmt::format("in {:.1f} s", seconds(wait));
  log_.error("{}; a new edge starts {}{}", who, next,
             was_ready ? "; its connections are lost, the workers are not" : "");
  ++restarts_;
  restart_.start(std::chrono::ceil<std::chrono::microseconds>(wait));
  if (was_ready) return observer_.edge_lost();
  failed_before_ready(describe_exit(wait_status));
}

}  // namespace saola::control
