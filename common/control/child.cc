#include "common/control/child.h"

#include <algorithm>
#include <csignal>
#include <utility>

namespace saola::control {
namespace {

// Messages taken per turn: a child that floods its channel must not keep the supervisor from its
// work.
constexpr int kMessagesPerTurn = 64;

}  // namespace

Child::Child(EventLoop& loop, Launcher& launcher, const Logger& log, Owner& owner, std::string name,
             Clock::duration boot_timeout)
    : loop_(loop),
      launcher_(launcher),
      log_(log),
      owner_(owner),
      name_(std::move(name)),
      started_at_(loop.now()),
      lifecycle_(started_at_, boot_timeout),
      channel_(UniqueFd()),
      timer_(loop, on_timer, this) {}

Child::~Child() { watcher_.reset(); }

Result<void> Child::launch(const std::string& title, const std::string& role,
                           bool leaves_children) {
  auto ends = ipc::ControlChannel::make_pair();
  if (!ends) return Unexpected{std::move(ends).error()};
  auto [ours, theirs] = *std::move(ends);
  auto pid = launcher_.launch({title, role, theirs.get(), leaves_children},
                              [this](int status) { exited(status); });
  if (!pid) return Unexpected{std::move(pid).error()};
  pid_ = *pid;
  open_channel(std::move(ours));
  return {};
}

Result<UniqueFd> Child::expect() {
  auto ends = ipc::ControlChannel::make_pair();
  if (!ends) return Unexpected{std::move(ends).error()};
  open_channel(std::move(ends->first));
  return std::move(ends->second);
}

void Child::open_channel(UniqueFd ours) {
  channel_ = ipc::ControlChannel(std::move(ours));
  channel_open_ = true;
  started_ = true;
  watcher_ = std::make_unique<IoWatcher>(loop_, channel_.fd(), on_channel, this);
  watch();
  arm();
}

void Child::on_born(const ipc::ControlMessage& message) {
  const auto* born = std::get_if<ipc::Born>(&message);
  if (born == nullptr) return channel_failed(LogLevel::kWarning, "did not say who it is");
  const auto pid = static_cast<pid_t>(born->pid);
  const auto adopted = launcher_.adopt(pid, [this](int status) { exited(status); });
  if (!adopted) return channel_failed(LogLevel::kWarning, adopted.error().message);
  pid_ = pid;
  owner_.child_born(*this);
}

// It was never born. A turn of the loop lies between this and the exit: the owner may be in the
// middle of something. If it is born yet, it finds its channel closed and ends.
void Child::forget() {
  if (forgotten_) return;
  forgotten_ = true;
  channel_open_ = false;
  watcher_.reset();
  channel_ = ipc::ControlChannel(UniqueFd());
  timer_.start(std::chrono::microseconds(0));
}

void Child::send_kill() {
  if (!born()) return forget();
  launcher_.send_signal(pid_, SIGKILL);
}

Result<void> Child::adopt(pid_t pid, UniqueFd control, bool ready, Origin origin) {
  auto adopted = launcher_.adopt(pid, [this](int status) { exited(status); });
  if (!adopted) return adopted;
  pid_ = pid;
  foreign_ = origin == Origin::kForeign;
  channel_ = ipc::ControlChannel(std::move(control));
  channel_open_ = true;
  watcher_ = std::make_unique<IoWatcher>(loop_, channel_.fd(), on_channel, this);
  if (ready) lifecycle_.on_ready(loop_.now());
  if (!foreign_) watch();
  arm();
  return {};
}

void Child::send(const ipc::ControlMessage& message, const std::vector<int>& fds) {
  if (!channel_open_) return;
  const auto sent = channel_.send(ipc::to_json(message), fds);
  if (!sent) return channel_failed(LogLevel::kDebug, sent.error().message);
  watch();
}

void Child::retire(Clock::time_point deadline) {
  drain_deadline_ = deadline + WorkerLifecycle::kCutGrace;
  carry_out(lifecycle_.retire(loop_.now(), deadline));
}

void Child::drain(Clock::time_point deadline, std::chrono::milliseconds idle) {
  drain_deadline_ = deadline;
  drain_idle_ = idle;
  carry_out(lifecycle_.drain(loop_.now(), deadline + kDrainSlack));
}

void Child::stop(Clock::duration grace) { carry_out(lifecycle_.stop(loop_.now(), grace)); }

void Child::give_up(const std::string& why, Clock::duration grace) {
  const auto action = lifecycle_.give_up(loop_.now(), grace);
  if (action != WorkerAction::kNone) log_.warning("{} (pid {}): {}", name_, pid_, why);
  carry_out(action);
}

void Child::kill(const std::string& why) {
  if (lifecycle_.kill() == WorkerAction::kNone) return;
  log_.error("{} (pid {}): {}; killing it", name_, pid_, why);
  send_kill();
  arm();
}

void Child::carry_out(WorkerAction action) {
  switch (action) {
    case WorkerAction::kNone:
      break;
    case WorkerAction::kSendDrain: {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(drain_deadline_ - loop_.now());
      const auto limited = [](std::chrono::milliseconds time) {
        return static_cast<std::uint32_t>(
            std::clamp<std::chrono::milliseconds::rep>(time.count(), 0, 0xffffffff));
      };
      send(ipc::Drain{limited(left), limited(drain_idle_)});
      break;
    }
    case WorkerAction::kSendStop:
      send(ipc::Stop{});
      break;
    case WorkerAction::kKill:
      log_.warning("{} (pid {}): {}; killing it", name_, pid_,
                   lifecycle_.boot_timed_out() ? "did not start within its boot_timeout"
                                               : "did not end in time");
      send_kill();
      break;
  }
  arm();
}

void Child::arm() {
  if (forgotten_) return;
  const auto deadline = lifecycle_.next_deadline();
  if (deadline == Clock::time_point::max() || !started_) return timer_.cancel();
  // Rounded up: a timer that is early would only have to be set again.
  timer_.start(
      std::chrono::ceil<std::chrono::microseconds>(deadline - std::chrono::steady_clock::now()));
}

void Child::on_timer(void* self) {
  auto& child = *static_cast<Child*>(self);
  if (child.forgotten_) return child.exited(kNeverBorn);
  child.carry_out(child.lifecycle_.on_tick(std::chrono::steady_clock::now()));
}

void Child::watch() {
  if (!channel_open_) return;
  watcher_->watch(
      static_cast<short>(IoWatcher::kRead | (channel_.wants_write() ? IoWatcher::kWrite : 0)));
}

void Child::on_channel(void* self, short what) {
  auto& child = *static_cast<Child*>(self);
  if ((what & IoWatcher::kWrite) != 0) {
    const auto flushed = child.channel_.flush();
    if (!flushed) return child.channel_failed(LogLevel::kDebug, flushed.error().message);
    child.watch();
  }
  if ((what & IoWatcher::kRead) != 0) child.read_all();
}

void Child::read_all() {
  for (int i = 0; i < kMessagesPerTurn && channel_open_; ++i) {
    const auto received = channel_.receive();
    if (!received) return channel_failed(LogLevel::kWarning, received.error().message);
    if (received->again) return;
    // The exit follows, and says why; a child that only closes its channel has no more use.
    if (received->closed) return channel_failed(LogLevel::kDebug, "closed its control channel");
    take(*received);
  }
}

void Child::take(const ipc::ControlChannel::Received& received) {
  auto message = ipc::parse_control_message(received.text);
  if (!message) {
    if (foreign_) return;
    return channel_failed(LogLevel::kWarning, "sent nonsense: " + message.error().message);
  }
  // Who was to fork it may say in its place why there is no process.
  if (!born() && !std::holds_alternative<ipc::BootFailed>(*message)) return on_born(*message);
  if (std::holds_alternative<ipc::Ready>(*message) && !lifecycle_.on_ready(loop_.now())) return;
  arm();
  owner_.child_said(*this, *message);
}

void Child::channel_failed(LogLevel level, const std::string& why) {
  if (!channel_open_) return;
  channel_open_ = false;
  watcher_->watch(0);
  if (log_.enabled(level)) log_.write(level, fmt::format("{} (pid {}): {}", name_, pid_, why));
  if (!born()) return forget();
  if (lifecycle_.state() == WorkerState::kExited) return;
  carry_out(lifecycle_.give_up(loop_.now(), kBrokenGrace));
}

void Child::exited(int wait_status) {
  // Its last words may be waiting: why it could not start, above all.
  read_all();
  if (channel_open_) watcher_->watch(0);
  channel_open_ = false;
  forgotten_ = false;
  lifecycle_.on_exit(loop_.now());
  arm();
  owner_.child_exited(*this, wait_status);
}

}  // namespace saola::control
