// IoWatcher: readiness of one descriptor, level-triggered, as a callback in the loop's thread.
//
// Does not own the descriptor and must be destroyed before it is closed. The callback may destroy
// the watcher's owner only through EventLoop::delete_later().
#pragma once

#include <event2/event.h>
#include <event2/event_struct.h>

#include "common/event/event_loop.h"

namespace saola {

class IoWatcher {
 public:
  static constexpr short kRead = EV_READ;
  static constexpr short kWrite = EV_WRITE;
  // `what` is a set of kRead and kWrite.
  using Callback = void (*)(void* context, short what);

  IoWatcher(EventLoop& loop, int fd, Callback callback, void* context);
  ~IoWatcher();
  IoWatcher(const IoWatcher&) = delete;
  IoWatcher& operator=(const IoWatcher&) = delete;

  // Watches for exactly `what` (0 stops). Costs nothing when nothing changes.
  void watch(short what);
  short watched() const { return watched_; }

 private:
  static void on_event(evutil_socket_t, short what, void* self) noexcept;

  EventLoop& loop_;
  int fd_;
  Callback callback_;
  void* context_;
  event event_{};
  short watched_ = 0;
};

}  // namespace saola
