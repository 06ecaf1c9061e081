#include "common/control/admin_keeper.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "common/control/exit_status.h"

namespace saola::control {
namespace {

double seconds(Clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

// To the process: the same configuration, keys and sockets.
bool looks_the_same(const Generation& a, const Generation& b) {
  if (!a.admin_start || !b.admin_start) return false;
  const auto left = ipc::read_memory_file(a.admin_start);
  const auto right = ipc::read_memory_file(b.admin_start);
  return left && right && *left == *right && a.admin_sockets.sockets() == b.admin_sockets.sockets();
}

}  // namespace

AdminKeeper::AdminKeeper(EventLoop& loop, Launcher& launcher, const Logger& log,
                         SharedMemory& memory, Observer& observer)
    : loop_(loop),
      launcher_(launcher),
      log_(log),
      memory_(memory),
      observer_(observer),
      restart_(loop, on_restart, this) {}

AdminKeeper::~AdminKeeper() = default;

void AdminKeeper::use(std::shared_ptr<const Generation> generation) {
  const auto before = std::exchange(generation_, std::move(generation));
  if (stopping_) return;
  if (child_ != nullptr && before != nullptr && looks_the_same(*before, *generation_)) {
    return reopen_logs();
  }
  restart_.cancel();
  // One that has never been ready has nothing to bridge.
  if (child_ != nullptr) {
    const bool serves = child_->lifecycle().state() == WorkerState::kReady;
    if (serves && before_ == nullptr) {
      before_ = std::move(child_);
    } else {
      retire(std::move(child_));
    }
  }
  if (generation_->admin_sockets.sockets().empty()) {
    if (before_ != nullptr) retire(std::move(before_));
    return;
  }
  start();
}

void AdminKeeper::start() {
  child_ = std::make_unique<Child>(loop_, launcher_, log_, static_cast<Child::Owner&>(*this),
                                   "admin", kBootTimeout);
  if (auto launched = child_->launch("saola: admin", "admin"); !launched) {
    child_.reset();
    return launch_failed(launched.error().message);
  }
  ipc::AdminInit init;
  std::vector<int> fds{generation_->admin_start.get(), memory_.scoreboard_file().get(),
                       memory_.metrics_file().get(), generation_->logs.error.get()};
  for (const int fd : generation_->admin_sockets.descriptors()) {
    fds.push_back(fd);
    ++init.listeners;
  }
  for (const auto& [name, app] : generation_->config.apps) {
    // What cannot be made is missing there as it will be for the app's workers, which say so.
    static_cast<void>(memory_.app_metrics(name, app.metrics_memory));
  }
  for (const auto& [name, file] : memory_.app_metrics()) {
    if (!file || fds.size() >= ipc::ControlChannel::kMaxFds) continue;
    init.apps.push_back(name);
    fds.push_back(file.get());
  }
  child_->send(init, fds);
}

void AdminKeeper::launch_failed(const std::string& reason) {
  try_again(Death::kBeforeReady, Clock::duration::zero(), "cannot start: " + reason);
}

void AdminKeeper::retire(std::unique_ptr<Child> child) {
  child->drain(loop_.now() + kDrainTime);
  leaving_children_.push_back(std::move(child));
}

void AdminKeeper::give_status(std::uint32_t ask, const std::string& json) {
  const auto file = ipc::make_memory_file(json);
  if (!file) return log_.error("admin: {}", file.error().message);
  for (Child* child : {child_.get(), before_.get()}) {
    if (child != nullptr) child->send(ipc::AdminStatus{ask}, {file->get()});
  }
}

void AdminKeeper::reopen_logs() {
  if (child_ != nullptr) child_->send(ipc::ReopenLogs{false}, {generation_->logs.error.get()});
}

void AdminKeeper::stop() {
  stopping_ = true;
  restart_.cancel();
  if (before_ != nullptr) retire(std::move(before_));
  if (child_ != nullptr) retire(std::move(child_));
  if (leaving_children_.empty()) observer_.admin_gone();
}

void AdminKeeper::leave_to(UpgradeState& state) const {
  const auto leave = [&state](const Child& child) {
    state.processes.push_back({child.pid(), child.control_fd(), child.name(), false,
                               child.lifecycle().state() == WorkerState::kReady});
  };
  for (const Child* child : {child_.get(), before_.get()}) {
    if (child != nullptr) leave(*child);
  }
  for (const auto& child : leaving_children_) leave(*child);
}

void AdminKeeper::child_said(Child& child, ipc::ControlMessage& message) {
  if (std::holds_alternative<ipc::Ready>(message)) {
    if (&child == child_.get() && before_ != nullptr) retire(std::move(before_));
    for (const auto& address : generation_->admin_sockets.addresses()) {
      log_.info("metrics and health at {}", address);
    }
    return;
  }
  if (const auto* ask = std::get_if<ipc::AdminAsk>(&message)) {
    return observer_.status_asked(ask->ask);
  }
  if (std::holds_alternative<ipc::Drained>(message)) return;
  if (const auto* failed = std::get_if<ipc::BootFailed>(&message)) {
    log_.write_block(LogLevel::kError, "admin: cannot start: " + failed->reason);
    return;
  }
  child.give_up("sent a message that is not an admin's", Child::kBrokenGrace);
}

void AdminKeeper::child_exited(Child& child, int wait_status) {
  const auto& lifecycle = child.lifecycle();
  const Death death = lifecycle.death(wait_status);
  const auto served = lifecycle.served();
  const std::string how = describe_exit(wait_status);
  if (&child == child_.get()) {
    loop_.delete_later(std::move(child_));
    return try_again(death, served, fmt::format("(pid {}) died: {}", child.pid(), how));
  }
  if (&child == before_.get()) {
    loop_.delete_later(std::move(before_));
    return;
  }
  const auto found = std::find_if(leaving_children_.begin(), leaving_children_.end(),
                                  [&child](const auto& one) { return one.get() == &child; });
  SAOLA_CHECK(found != leaving_children_.end());
  loop_.delete_later(std::move(*found));
  leaving_children_.erase(found);
  if (stopping_ && !running()) observer_.admin_gone();
}

void AdminKeeper::try_again(Death death, Clock::duration served, const std::string& what) {
  const auto wait = policy_.on_death(death, served);
  log_.error("admin {}; a new one starts in {:.1f} s", what, seconds(wait));
  restart_.start(std::chrono::ceil<std::chrono::microseconds>(wait));
}

void AdminKeeper::on_restart(void* self) {
  auto& keeper = *static_cast<AdminKeeper*>(self);
  if (keeper.child_ == nullptr && !keeper.stopping_) keeper.start();
}

}  // namespace saola::control
