// WorkerLifecycle: the states of one child process and what to do about it next. Pure: sends no
// message and no signal, takes time as values. The edge goes through the same states.
//
//            ready          retire asked         idle, or too late   too late          too late
//   kBooting ------> kReady ------------> kRetiring -------> kDraining ------> kStopping ------>
//   kKilled
//      |   \           |   \________________|____drain asked____^  |               ^ ^ |
//      \__________|____________________|____stop asked________|_______________|               |
//      |_____________________________________boot deadline passed_________________________________|
//
//   kRetiring   it answers what it has begun and gets nothing more; only the edge knows of it yet
//   kDraining   it has been told to finish and to end
//   kExited     from any state, once reaped.
#pragma once

#include <cstdint>

#include "common/control/restart_policy.h"
#include "common/core/clock.h"

namespace saola::control {

enum class WorkerState : std::uint8_t {
  kBooting,
  kReady,
  kRetiring,
  kDraining,
  kStopping,
  kKilled,
  kExited
};

// What the caller is to do now.
enum class WorkerAction : std::uint8_t {
  kNone,
  kSendDrain,  // "finish what you have, then exit"
  kSendStop,   // "exit now"
  kKill,       // SIGKILL
};

const char* to_string(WorkerState state);

class WorkerLifecycle {
 public:
  using Time = Clock::time_point;
  using Duration = Clock::duration;
  // From "exit now" to SIGKILL: enough for an ASGI lifespan's shutdown that does not hang.
  static constexpr std::chrono::seconds kStopGrace{2};

  // From a retirement that took too long to "exit now": what is left is cancelled in it.
  static constexpr std::chrono::seconds kCutGrace{2};

  // Started at `now`. `boot_timeout` zero: no deadline.
  WorkerLifecycle(Time now, Duration boot_timeout);

  WorkerState state() const { return state_; }
  bool was_ready() const { return was_ready_; }
  bool boot_timed_out() const { return boot_timed_out_; }

  // False if it is too late: the process was told to go meanwhile.
  bool on_ready(Time now);
  // The edge sends it nothing more; it is told to drain when it is idle, at the latest at
  // `deadline`. A booting process is stopped.
  WorkerAction retire(Time now, Time deadline);
  // To finish by `deadline`. A booting process has nothing to finish: it is stopped.
  WorkerAction drain(Time now, Time deadline);
  // To exit within `grace`, then it is killed.
  WorkerAction stop(Time now, Duration grace = kStopGrace);
  // Like stop(), because something happened to it (its connections broke): the death that follows
  // is its own, not one that was asked for.
  WorkerAction give_up(Time now, Duration grace);
  // Kill now; `drain` and `stop` have not been asked for, so the death is its own.
  WorkerAction kill();
  void on_exit(Time now);

  // To be called when next_deadline() has passed; earlier calls do nothing.
  WorkerAction on_tick(Time now);
  // Time::max(): none.
  Time next_deadline() const { return deadline_; }

  // What kind of death a wait status is, for RestartPolicy. Call after on_exit().
  Death death(int wait_status) const;
  // From ready to exit; zero if it was never ready.
  Duration served() const;

 private:
  WorkerAction to_stopping(Time now, Duration grace);
  WorkerAction to_killed();

  WorkerState state_ = WorkerState::kBooting;
  Time deadline_;
  Time ready_at_{};
  Time exited_at_{};
  bool was_ready_ = false;
  bool boot_timed_out_ = false;
  bool asked_ = false;      // retire(), drain() or stop()
  bool we_killed_ = false;  // our SIGKILL
};

}  // namespace saola::control
