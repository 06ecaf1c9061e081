#include "common/control/restart_policy.h"

#include <algorithm>

namespace saola::control {

RestartPolicy::Duration RestartPolicy::on_death(Death death, Duration served) {
  if (served >= kStableAfter) failures_ = 0;
  switch (death) {
    case Death::kAsked:
    case Death::kOutside:
      return Duration::zero();
    case Death::kBeforeReady:
    case Death::kCrash:
      break;
  }
  // 100 ms << 7 is beyond the longest delay already; the bound keeps the shift defined.
  const int doublings = std::min(failures_, 7);
  ++failures_;
  return std::min<Duration>(kFirstDelay * (1 << doublings), kLongestDelay);
}

}  // namespace saola::control
