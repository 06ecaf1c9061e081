// RequestClock: what the time-outs of one request come to (docs/timeouts.md). Pure.
//
// A worker's slots are looked at now and then, not timed one by one: a request pays nothing for its
// time-outs. So what happened between two looks counts as of the second one, and a time-out comes
// at most two looks late, never early.
//
//   kUnclaimed --claimed--> kRunning --time-out--> kTimedOut --grace--> kOverdue
//
// A request that nobody waits for any more (its client has gone) runs on under the same clock.
#pragma once

#include <chrono>
#include <cstdint>

#include "common/core/clock.h"

namespace saola::proxy {

// 0: off.
struct RequestTimes {
  std::chrono::milliseconds idle{0};   // request_timeout: claim to head, then between chunks
  std::chrono::milliseconds total{0};  // request_max_time: claim to end
  bool any() const { return idle.count() > 0 || total.count() > 0; }
};

class RequestClock {
 public:
  enum class Verdict : std::uint8_t {
    kNothing,
    kRequestTimeout,  // each of the two once at most: from now on the grace runs
    kMaxTime,
    kOverdue,  // it has ignored its time-out for the whole grace; said once
  };

  struct Sight {
    std::uint32_t stream = 0;  // another one than at the last look is another request
    bool claimed = false;
    bool heard = false;         // the worker sent something for it since the last look
    bool client_holds = false;  // the worker waits for the client's side
    bool client_gone = false;
  };

  Verdict look(Clock::time_point now, const Sight& sight, const RequestTimes& times,
               std::chrono::milliseconds grace);
  // The slot is free.
  void reset() { phase_ = Phase::kFree; }

  bool overdue() const { return phase_ == Phase::kOverdue; }
  Clock::time_point claimed_at() const { return claimed_at_; }

 private:
  enum class Phase : std::uint8_t { kFree, kUnclaimed, kRunning, kTimedOut, kOverdue };

  Verdict time_out(Clock::time_point now, Verdict verdict);

  Phase phase_ = Phase::kFree;
  std::uint32_t stream_ = 0;
  Clock::time_point claimed_at_{};
  Clock::time_point quiet_since_{};
  Clock::time_point timed_out_at_{};
};

}  // namespace saola::proxy
