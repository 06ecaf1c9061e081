#include "common/control/scale_policy.h"

#include <algorithm>

namespace saola::control {

int ScalePolicy::wanted(Clock::time_point now, const Look& look) {
  const int bounded = std::clamp(look.workers, min_, max_);
  const bool waits = look.longest_wait >= kWaitTooLong;
  waits_in_a_row_ = waits ? waits_in_a_row_ + 1 : 0;

  const double fewer_slots = static_cast<double>(look.slots) * (look.workers - 1);
  const bool is_quiet = look.longest_wait == Clock::duration::zero() &&
                        static_cast<double>(look.running) <= kBusyEnough * fewer_slots;
  if (is_quiet && !quiet_) quiet_since_ = now;
  quiet_ = is_quiet;

  if (waits_in_a_row_ >= 2 && bounded < max_ && look.ready >= look.workers &&
      now - last_change_ >= kBetweenUps) {
    last_change_ = now;
    waits_in_a_row_ = 0;
    return bounded + 1;
  }
  if (quiet_ && bounded > min_ && now - quiet_since_ >= kQuiet) {
    last_change_ = quiet_since_ = now;
    return bounded - 1;
  }
  return bounded;
}

}  // namespace saola::control
