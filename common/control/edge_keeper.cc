#include "common/control/edge_keeper.h"

#include <fmt/format.h>

#include <utility>

#include "common/control/exit_status.h"

namespace saola::control {
namespace {

double seconds(Clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

}  // namespace

EdgeKeeper::EdgeKeeper(EventLoop& loop, Launcher& launcher, const Logger& log,
                       const config::Config& config, const SupervisionFiles& files,
                       Observer& observer)
    : loop_(loop),
      launcher_(launcher),
      log_(log),
      files_(files),
      observer_(observer),
      restart_(loop, on_restart, this) {
  for (const auto& [name, app] : config.apps) {
    if (app.process_name.empty()) continue;
    title_ += " [" + app.process_name + "]";
    break;
  }
}

void EdgeKeeper::start() {
  if (child_ != nullptr || leaving_) return;
  child_ = std::make_unique<Child>(loop_, launcher_, log_, static_cast<Child::Owner&>(*this),
                                   "edge", kBootTimeout);
  if (auto launched = child_->launch(title_, "edge"); !launched) {
    child_.reset();
    return launch_failed(launched.error().message);
  }
  std::vector<int> fds{files_.edge_start.get(), files_.scoreboard.get(), files_.error_log.get()};
  if (files_.access_log) fds.push_back(files_.access_log.get());
  fds.insert(fds.end(), files_.listeners.begin(), files_.listeners.end());
  child_->send(
      ipc::EdgeInit{files_.access_log.valid(), static_cast<std::uint32_t>(files_.listeners.size())},
      fds);
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

void EdgeKeeper::on_restart(void* self) { static_cast<EdgeKeeper*>(self)->start(); }

void EdgeKeeper::add_worker(const ipc::WorkerAdd& worker, int wire, int claims) {
  if (child_ != nullptr) child_->send(worker, {wire, claims});
}

void EdgeKeeper::remove_worker(std::uint32_t worker_id) {
  if (child_ != nullptr) child_->send(ipc::WorkerRemove{worker_id});
}

void EdgeKeeper::reopen_logs() {
  if (child_ == nullptr) return;
  std::vector<int> fds{files_.error_log.get()};
  if (files_.access_log) fds.push_back(files_.access_log.get());
  child_->send(ipc::ReopenLogs{files_.access_log.valid()}, fds);
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
  // Tells of the end of a WorkerDrain, which nothing sends yet.
  if (std::holds_alternative<ipc::WorkerIdle>(message)) return;
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
             was_ready ? ", and new workers with it: the connections to the old ones were the "
                         "edge's"
                       : "");
  restart_.start(std::chrono::ceil<std::chrono::microseconds>(wait));
  if (was_ready) return observer_.edge_lost();
  failed_before_ready(describe_exit(wait_status));
}

}  // namespace saola::control
