#include "common/core/check.h"
#include "common/event/io_watcher.h"
#include "common/event/signal_watcher.h"
#include "common/event/timer.h"

namespace saola {
namespace {

timeval to_timeval(std::chrono::microseconds after) {
  if (after.count() < 0) after = std::chrono::microseconds(0);
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(after);
  timeval value{};
  value.tv_sec = seconds.count();
  value.tv_usec = (after - seconds).count();
  return value;
}

}  // namespace

IoWatcher::IoWatcher(EventLoop& loop, int fd, Callback callback, void* context)
    : loop_(loop), fd_(fd), callback_(callback), context_(context) {
  SAOLA_CHECK(event_assign(&event_, loop.base(), fd, 0, on_event, this) == 0);
}

IoWatcher::~IoWatcher() { event_del(&event_); }

void IoWatcher::watch(short what) {
  if (what == watched_) return;
  if (watched_ != 0) event_del(&event_);
  watched_ = what;
  if (what == 0) return;
  SAOLA_CHECK(event_assign(&event_, loop_.base(), fd_, static_cast<short>(what | EV_PERSIST),
                           on_event, this) == 0);
  SAOLA_CHECK(event_add(&event_, nullptr) == 0);
}

void IoWatcher::on_event(evutil_socket_t, short what, void* self) noexcept {
  auto& watcher = *static_cast<IoWatcher*>(self);
  watcher.callback_(watcher.context_, what);
}

Timer::Timer(EventLoop& loop, Callback callback, void* context)
    : callback_(callback), context_(context) {
  SAOLA_CHECK(event_assign(&event_, loop.base(), -1, 0, on_event, this) == 0);
}

Timer::~Timer() { event_del(&event_); }

void Timer::start(std::chrono::microseconds after) {
  const timeval value = to_timeval(after);
  active_ = true;
  SAOLA_CHECK(event_add(&event_, &value) == 0);
}

void Timer::cancel() {
  if (active_) event_del(&event_);
  active_ = false;
}

void Timer::on_event(evutil_socket_t, short, void* self) noexcept {
  auto& timer = *static_cast<Timer*>(self);
  timer.active_ = false;
  timer.callback_(timer.context_);
}

LazyTimer::LazyTimer(EventLoop& loop, Callback callback, void* context)
    : callback_(callback), context_(context), timer_(loop, on_timer, this) {}

void LazyTimer::set(Clock::time_point deadline) {
  deadline_ = deadline;
  if (deadline < armed_) arm();
}

void LazyTimer::arm() {
  armed_ = deadline_;
  timer_.start(std::chrono::duration_cast<std::chrono::microseconds>(
      deadline_ - std::chrono::steady_clock::now() + std::chrono::microseconds(999)));
}

void LazyTimer::on_timer(void* self) {
  auto& timer = *static_cast<LazyTimer*>(self);
  timer.armed_ = Clock::time_point::max();
  if (timer.deadline_ == Clock::time_point::max()) return;
  if (std::chrono::steady_clock::now() < timer.deadline_) return timer.arm();
  timer.deadline_ = Clock::time_point::max();
  timer.callback_(timer.context_);
}

SignalWatcher::SignalWatcher(EventLoop& loop, int signal_number, std::function<void()> callback)
    : callback_(std::move(callback)),
      event_(event_new(loop.base(), signal_number, EV_SIGNAL | EV_PERSIST, on_event, this)) {
  SAOLA_CHECK(event_ && event_add(event_.get(), nullptr) == 0);
}

void SignalWatcher::on_event(evutil_socket_t, short, void* self) noexcept {
  static_cast<SignalWatcher*>(self)->callback_();
}

}  // namespace saola
