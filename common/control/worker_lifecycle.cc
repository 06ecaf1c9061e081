#include "common/control/worker_lifecycle.h"

#include <algorithm>

#include "common/control/exit_status.h"
#include "common/core/check.h"

namespace saola::control {

const char* to_string(WorkerState state) {
  switch (state) {
    case WorkerState::kBooting:
      return "booting";
    case WorkerState::kReady:
      return "ready";
    case WorkerState::kRetiring:
      return "retiring";
    case WorkerState::kDraining:
      return "draining";
    case WorkerState::kStopping:
      return "stopping";
    case WorkerState::kKilled:
      return "killed";
    case WorkerState::kExited:
      return "exited";
  }
  SAOLA_UNREACHABLE();
}

WorkerLifecycle::WorkerLifecycle(Time now, Duration boot_timeout)
    : deadline_(boot_timeout > Duration::zero() ? now + boot_timeout : Time::max()) {}

bool WorkerLifecycle::on_ready(Time now) {
  if (state_ != WorkerState::kBooting) return false;
  state_ = WorkerState::kReady;
  deadline_ = Time::max();
  ready_at_ = now;
  was_ready_ = true;
  return true;
}

WorkerAction WorkerLifecycle::retire(Time now, Time deadline) {
  if (state_ == WorkerState::kBooting) return stop(now);
  if (state_ == WorkerState::kReady) {
    asked_ = true;
    state_ = WorkerState::kRetiring;
    deadline_ = deadline;
  } else if (state_ == WorkerState::kRetiring) {
    deadline_ = std::min(deadline_, deadline);
  }
  return WorkerAction::kNone;
}

WorkerAction WorkerLifecycle::drain(Time now, Time deadline) {
  switch (state_) {
    case WorkerState::kBooting:
      return stop(now);
    case WorkerState::kReady:
    case WorkerState::kRetiring:
      asked_ = true;
      state_ = WorkerState::kDraining;
      deadline_ = deadline;
      return WorkerAction::kSendDrain;
    case WorkerState::kDraining:
      deadline_ = std::min(deadline_, deadline);
      return WorkerAction::kNone;
    case WorkerState::kStopping:
    case WorkerState::kKilled:
    case WorkerState::kExited:
      return WorkerAction::kNone;
  }
  SAOLA_UNREACHABLE();
}

WorkerAction WorkerLifecycle::stop(Time now, Duration grace) {
  // What was given up before dies its own death.
  if (state_ < WorkerState::kStopping) asked_ = true;
  return to_stopping(now, grace);
}

WorkerAction WorkerLifecycle::give_up(Time now, Duration grace) { return to_stopping(now, grace); }

WorkerAction WorkerLifecycle::kill() {
  return state_ == WorkerState::kKilled || state_ == WorkerState::kExited ? WorkerAction::kNone
                                                                          : to_killed();
}

WorkerAction WorkerLifecycle::to_stopping(Time now, Duration grace) {
  switch (state_) {
    case WorkerState::kBooting:
    case WorkerState::kReady:
    case WorkerState::kRetiring:
    case WorkerState::kDraining:
      state_ = WorkerState::kStopping;
      deadline_ = now + grace;
      return WorkerAction::kSendStop;
    case WorkerState::kStopping:
      deadline_ = std::min(deadline_, now + grace);
      return WorkerAction::kNone;
    case WorkerState::kKilled:
    case WorkerState::kExited:
      return WorkerAction::kNone;
  }
  SAOLA_UNREACHABLE();
}

WorkerAction WorkerLifecycle::to_killed() {
  state_ = WorkerState::kKilled;
  deadline_ = Time::max();
  we_killed_ = true;
  return WorkerAction::kKill;
}

void WorkerLifecycle::on_exit(Time now) {
  state_ = WorkerState::kExited;
  deadline_ = Time::max();
  exited_at_ = now;
}

WorkerAction WorkerLifecycle::on_tick(Time now) {
  if (now < deadline_) return WorkerAction::kNone;
  switch (state_) {
    case WorkerState::kBooting:
      boot_timed_out_ = true;
      return to_killed();
    case WorkerState::kRetiring:
      return drain(now, now + kCutGrace);
    case WorkerState::kDraining:
      return to_stopping(now, kStopGrace);
    case WorkerState::kStopping:
      return to_killed();
    case WorkerState::kReady:
    case WorkerState::kKilled:
    case WorkerState::kExited:
      return WorkerAction::kNone;
  }
  SAOLA_UNREACHABLE();
}

Death WorkerLifecycle::death(int wait_status) const {
  if (asked_) return Death::kAsked;
  if (!was_ready_) return Death::kBeforeReady;
  return !we_killed_ && died_by_outside_signal(wait_status) ? Death::kOutside : Death::kCrash;
}

WorkerLifecycle::Duration WorkerLifecycle::served() const {
  return was_ready_ ? exited_at_ - ready_at_ : Duration::zero();
}

}  // namespace saola::control
