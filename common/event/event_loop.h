// EventLoop: owns a libevent base and the order of work in one turn.
//
// One turn: wait, run what is ready, run the end-of-turn hooks (flushes that collect what the whole
// turn produced), then free what was given to delete_later(). One thread; post() is the exception.
#pragma once

#include <event2/event.h>

#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "common/core/c_ptr.h"
#include "common/core/clock.h"
#include "common/core/unique_fd.h"

namespace saola {

using EventBasePtr = CPtr<event_base, event_base_free>;
using EventPtr = CPtr<event, event_free>;

// Anything that must outlive the call stack it is closed from.
class Deletable {
 public:
  virtual ~Deletable() = default;
};

class EventLoop {
 public:
  EventLoop();
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  // Runs turns until stop().
  void run();
  // One turn; waits at most `limit` for something to happen. For tests and for bounded drains.
  void run_once(std::chrono::milliseconds limit);
  void stop() { stopping_ = true; }

  // Steady time, read once per turn, by the first who asks after the wait.
  Clock::time_point now() {
    if (!now_valid_) {
      now_ = std::chrono::steady_clock::now();
      now_valid_ = true;
    }
    return now_;
  }

  // Frees `object` after the current turn's callbacks have unwound.
  void delete_later(std::unique_ptr<Deletable> object) { garbage_.push_back(std::move(object)); }

  // Called at the end of every turn, in the order of registration, for as long as the loop runs.
  void at_end_of_turn(std::function<void()> hook) { hooks_.push_back(std::move(hook)); }

  // Runs `task` in the loop's thread, in its next turn. Safe from any thread.
  void post(std::function<void()> task);

  // A soft note that there is work left for the next turn: the next wait does not block.
  void wake_soon() { poll_only_ = true; }

  event_base* base() { return base_.get(); }

 private:
  void turn(int flags);
  static void on_posted(evutil_socket_t, short, void* self) noexcept;

  EventBasePtr base_;
  UniqueFd post_fd_;
  EventPtr post_event_;
  std::mutex post_mutex_;
  std::vector<std::function<void()>> posted_;
  std::vector<std::function<void()>> hooks_;
  std::vector<std::unique_ptr<Deletable>> garbage_;
  Clock::time_point now_;
  bool now_valid_ = false;
  bool stopping_ = false;
  bool poll_only_ = false;
};

}  // namespace saola
