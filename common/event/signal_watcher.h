// SignalWatcher: a signal as an ordinary callback of the loop.
#pragma once

#include <functional>

#include "common/event/event_loop.h"

namespace saola {

class SignalWatcher {
 public:
  SignalWatcher(EventLoop& loop, int signal_number, std::function<void()> callback);
  SignalWatcher(const SignalWatcher&) = delete;
  SignalWatcher& operator=(const SignalWatcher&) = delete;

 private:
  static void on_event(evutil_socket_t, short, void* self) noexcept;
  std::function<void()> callback_;
  EventPtr event_;
};

}  // namespace saola
