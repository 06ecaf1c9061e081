// The waiting side of RequestChannel: threads of the app at the socket or behind it, and the helper
// that stands in for them.
#include <poll.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "backend/request_channel.h"

namespace saola::backend {
namespace {

using Clock = std::chrono::steady_clock;

}  // namespace

bool RequestChannel::receive() {
  const Lock lock(mutex_);
  touch();
  clear_wake();
  if (!broken_) receive_some();
  notify_followers();
  mark_turn();
  return !broken_;
}

// Requests and events that a loop or other threads should look at.
void RequestChannel::signal_wake() {
  if (std::exchange(wake_signalled_, true)) return;
  const std::uint64_t one = 1;
  if (::write(wake_fd_.get(), &one, sizeof one) < 0) {
    // Only EAGAIN is possible: the counter is at its limit, so the descriptor is readable.
  }
}

void RequestChannel::clear_wake() {
  if (!std::exchange(wake_signalled_, false)) return;
  std::uint64_t count = 0;
  if (::read(wake_fd_.get(), &count, sizeof count) < 0) {
    // Nothing there: somebody else's read of a descriptor that is ours alone cannot happen.
  }
}

void RequestChannel::notify_followers() {
  for (std::size_t i = std::min(queued_, idle_waiters_); i > 0; --i) idle_.notify_one();
  if (progress_waiters_ > 0) progress_.notify_all();
}

// Waits until `ready`: as the one thread in poll(2), or on `condition` while another is. The end of
// an edge makes `ready` true for who waits for a body or a window of its requests. False: a signal
// interrupted it.
template <class Ready>
bool RequestChannel::wait_until(Lock& lock, std::condition_variable& condition,
                                std::size_t& waiters, Ready ready) {
  bool led = false;
  bool interrupted = false;
  for (;;) {
    flush_locked();
    if (interrupted || ready()) break;
    if (has_leader_) {
      ++waiters;
      condition.wait(lock);
      --waiters;
      continue;
    }
    led = true;
    interrupted = !poll_as_leader(lock);
  }
  // The socket must not be left alone while others wait for it.
  if (led && idle_waiters_ > 0) {
    idle_.notify_one();
  } else if (led && progress_waiters_ > 0) {
    progress_.notify_one();
  }
  return !interrupted;
}

// False: interrupted by a signal.
bool RequestChannel::poll_as_leader(Lock& lock) {
  // Without an edge the bell is all there is to wait for: reconnect() and begin_drain() ring it.
  std::array<pollfd, 2> fds{
      {{broken_ ? -1 : socket_.get(), POLLIN, 0}, {wake_fd_.get(), POLLIN, 0}}};
  if (!out_.empty()) fds[0].events |= POLLOUT;
  has_leader_ = true;
  touch();
  lock.unlock();
  const int ready = ::poll(fds.data(), fds.size(), -1);
  const int error = errno;
  lock.lock();
  has_leader_ = false;
  retired_.clear();
  touch();
  mark_turn();
  if (ready < 0) {
    if (error != EINTR) break_off(system_error("poll", error).message);
    return error != EINTR;
  }
  clear_wake();
  if ((fds[0].revents & (POLLIN | POLLHUP | POLLERR)) != 0 && !broken_) receive_some();
  notify_followers();
  return true;
}

RequestChannel::Wakeup RequestChannel::wait(std::uint64_t& wakes_seen) {
  Lock lock(mutex_);
  const auto ready = [&] { return queued_ > 0 || wakes_ != wakes_seen || draining_; };
  const bool uninterrupted = wait_until(lock, idle_, idle_waiters_, ready);
  wakes_seen = wakes_;
  return uninterrupted ? Wakeup::kWork : Wakeup::kInterrupted;
}

void RequestChannel::wait_body(RequestStream& stream) {
  Lock lock(mutex_);
  const auto ready = [&] { return !stream.body.empty() || stream.body_complete || stream.aborted; };
  while (!wait_until(lock, progress_, progress_waiters_, ready)) {
  }
}

void RequestChannel::wait_window(RequestStream& stream) {
  Lock lock(mutex_);
  const auto ready = [&] { return stream.send_window > 0 || stream.aborted; };
  while (!wait_until(lock, progress_, progress_waiters_, ready)) {
  }
}

void RequestChannel::wake() {
  const Lock lock(mutex_);
  ++wakes_;
  signal_wake();
  idle_.notify_all();
  progress_.notify_all();
}

// --- the helper's side --------------------------------------------------------------------------

// mark_unflushed() stores `unflushed_`, then reads `helper_asleep_`; here it is the other way
// round, all sequentially consistent, so at least one side sees the other.
bool RequestChannel::helper_falls_asleep() {
  helper_asleep_.store(true, std::memory_order_seq_cst);
  return unflushed_.load(std::memory_order_seq_cst);
}

void RequestChannel::assist(bool app_is_silent) {
  const Lock lock(mutex_, std::try_to_lock);
  if (!lock.owns_lock() || broken_) return;
  if (app_is_silent || Clock::now() - unflushed_since_ >= kFlushAge) flush_locked();
  if (!app_is_silent || has_leader_) return;  // a thread of the app is at the socket
  const std::size_t queued = queued_;
  const std::size_t events = events_.size();
  receive_some();
  if (queued_ > queued || events_.size() > events || broken_) {
    signal_wake();
    notify_followers();
  }
  flush_locked();  // a PONG
}

void RequestChannel::mark_turn() {
  const auto now = Clock::now();
  note_time(now);
  if (counters_ == nullptr) return;
  counters_->loop_turn_ns.store(static_cast<std::uint64_t>(now.time_since_epoch().count()),
                                std::memory_order_relaxed);
}

}  // namespace saola::backend
