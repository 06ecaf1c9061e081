#include "proxy/request_clock.h"

#include "common/core/check.h"

namespace saola::proxy {

RequestClock::Verdict RequestClock::look(Clock::time_point now, const Sight& sight,
                                         const RequestTimes& times,
                                         std::chrono::milliseconds grace) {
  if (phase_ == Phase::kFree || stream_ != sight.stream) {
    stream_ = sight.stream;
    phase_ = Phase::kUnclaimed;
  }
  switch (phase_) {
    case Phase::kFree:
    case Phase::kUnclaimed:
      if (!sight.claimed) return Verdict::kNothing;
      phase_ = Phase::kRunning;
      claimed_at_ = quiet_since_ = now;
      return Verdict::kNothing;
    case Phase::kRunning: {
      const bool has_idle = times.idle.count() > 0;
      if (times.total.count() > 0 && now - claimed_at_ >= times.total) {
        return time_out(now, Verdict::kMaxTime);
      }
      // Without a client there are no chunks to count from.
      if (sight.client_gone) {
        if (!has_idle || now - claimed_at_ < times.idle) return Verdict::kNothing;
        return time_out(now, Verdict::kRequestTimeout);
      }
      if (sight.heard || sight.client_holds) quiet_since_ = now;
      if (!has_idle || now - quiet_since_ < times.idle) return Verdict::kNothing;
      return time_out(now, Verdict::kRequestTimeout);
    }
    case Phase::kTimedOut:
      if (now - timed_out_at_ < grace) return Verdict::kNothing;
      phase_ = Phase::kOverdue;
      return Verdict::kOverdue;
    case Phase::kOverdue:
      return Verdict::kNothing;
  }
  SAOLA_UNREACHABLE();
}

RequestClock::Verdict RequestClock::time_out(Clock::time_point now, Verdict verdict) {
  phase_ = Phase::kTimedOut;
  timed_out_at_ = now;
  return verdict;
}

}  // namespace saola::proxy
