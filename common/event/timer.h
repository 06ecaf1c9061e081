// Timers of the loop.
//
// Timer: one shot, exact. LazyTimer: for deadlines that move with every request and seldom pass
// (idle, header, write): moving a deadline later costs a store; the event is touched only when the
// new deadline is earlier than the armed one, or when it fires too early.
#pragma once

#include <event2/event.h>
#include <event2/event_struct.h>

#include <chrono>

#include "common/core/clock.h"
#include "common/event/event_loop.h"

namespace saola {

class Timer {
 public:
  using Callback = void (*)(void* context);
  Timer(EventLoop& loop, Callback callback, void* context);
  ~Timer();
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  void start(std::chrono::microseconds after);
  void cancel();
  bool active() const { return active_; }

 private:
  static void on_event(evutil_socket_t, short, void* self) noexcept;
  Callback callback_;
  void* context_;
  event event_{};
  bool active_ = false;
};

class LazyTimer {
 public:
  using Callback = void (*)(void* context);
  LazyTimer(EventLoop& loop, Callback callback, void* context);

  // Calls back once `deadline` has passed; replaces an earlier one. time_point::max() means never.
  void set(Clock::time_point deadline);
  void clear() { deadline_ = Clock::time_point::max(); }
  Clock::time_point deadline() const { return deadline_; }

 private:
  static void on_timer(void* self);
  void arm();

  Callback callback_;
  void* context_;
  Timer timer_;
  Clock::time_point deadline_ = Clock::time_point::max();
  Clock::time_point armed_ = Clock::time_point::max();
};

}  // namespace saola
