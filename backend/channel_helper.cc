#include "backend/channel_helper.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <array>

namespace saola::backend {
namespace {

constexpr std::size_t kMostWatches = 4;
// Ticks without a sign of the app thread before falling asleep.
constexpr int kQuietTicks = 3;

}  // namespace

ChannelHelper::ChannelHelper(RequestChannel& channel, ipc::WorkerSlot* slot,
                             std::vector<Watch> watches, HelperChore chore)
    : channel_(channel),
      slot_(slot),
      watches_(std::move(watches)),
      chore_(std::move(chore)),
      stop_fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  SAOLA_CHECK(watches_.size() <= kMostWatches && stop_fd_.valid());
  // Signals are the main thread's: Python's handlers run there.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

ChannelHelper::~ChannelHelper() {
  const std::uint64_t one = 1;
  SAOLA_CHECK(::write(stop_fd_.get(), &one, sizeof one) == sizeof one);
  thread_.join();
}

void ChannelHelper::beat() {
  const auto now = std::chrono::steady_clock::now();
  channel_.note_time(now);
  if (chore_.period.count() > 0 && now >= chore_due_) {
    chore_due_ = now + chore_.period;
    chore_.run();
  }
  if (slot_ == nullptr) return;
  slot_->heartbeat_ns.store(static_cast<std::uint64_t>(now.time_since_epoch().count()),
                            std::memory_order_relaxed);
}

void ChannelHelper::run() {
  pthread_setname_np(pthread_self(), "saola-helper");
  while (!stopping_) {
    beat();
    if (sleep_until_ready()) tick();
  }
}

// Waits on everything. `channel_ready`: the socket or the bell. False: told to stop.
bool ChannelHelper::wait(int timeout_ms, short socket_events, bool& channel_ready) {
  std::array<pollfd, 3 + kMostWatches> fds{};
  fds[0] = {stop_fd_.get(), POLLIN, 0};
  fds[1] = {socket_events != 0 ? channel_.helper_fd() : -1, POLLIN, 0};
  fds[2] = {socket_events != 0 && !channel_.broken() ? channel_.fd() : -1, socket_events, 0};
  for (std::size_t i = 0; i < watches_.size(); ++i) fds[3 + i] = {watches_[i].fd, POLLIN, 0};
  const int ready = ::poll(fds.data(), 3 + watches_.size(), timeout_ms);
  channel_ready = false;
  if (ready <= 0) return true;
  channel_ready = fds[1].revents != 0 || fds[2].revents != 0;
  if (fds[1].revents != 0) {
    std::uint64_t count = 0;
    if (::read(channel_.helper_fd(), &count, sizeof count) < 0) {
      // Nothing there: this thread is the only reader, so that cannot be.
    }
  }
  for (std::size_t i = 0; i < watches_.size(); ++i) {
    if (fds[3 + i].revents != 0 && !watches_[i].on_readable()) watches_[i].fd = -1;
  }
  return fds[0].revents == 0;
}

// True: the channel needs looking after.
bool ChannelHelper::sleep_until_ready() {
  const bool unflushed = channel_.helper_falls_asleep();
  bool channel_ready = false;
  const auto limit = chore_.period.count() > 0 ? std::min(chore_.period, kHeartbeat) : kHeartbeat;
  stopping_ = !wait(static_cast<int>(limit.count()),
                    static_cast<short>(POLLIN | (unflushed ? POLLOUT : 0)), channel_ready);
  channel_.helper_awake();
  return channel_ready && !stopping_;
}

void ChannelHelper::tick() {
  auto seen = channel_.activity();
  bool was_unflushed = channel_.has_unflushed();
  for (int quiet = 0; quiet < kQuietTicks && !stopping_;) {
    bool ignored = false;
    stopping_ = !wait(static_cast<int>(kTick.count()), 0, ignored);
    beat();
    const auto now = channel_.activity();
    const bool unflushed = channel_.has_unflushed();
    if (now == seen || (unflushed && was_unflushed)) channel_.assist(now == seen);
    quiet = now == seen ? quiet + 1 : 0;
    seen = now;
    was_unflushed = unflushed;
  }
}

}  // namespace saola::backend
