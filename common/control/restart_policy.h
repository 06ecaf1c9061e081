// RestartPolicy: how long to wait before the process of one seat (the edge, or one of an app's
// workers) is started again. Pure: time comes and goes as values.
//
//   asked for, or killed from outside after ready    at once; the back-off stays as it is
//   died before ready, or crashed                    100 ms, then doubled each time, up to 10 s
//   served for kStableAfter                          the back-off starts anew
#pragma once

#include <chrono>
#include <cstdint>

namespace saola::control {

enum class Death : std::uint8_t {
  kAsked,        // the supervisor wanted it
  kOutside,      // a signal from outside, after ready
  kBeforeReady,  // never became ready, whatever the reason
  kCrash,        // was ready, then exited or faulted by itself
};

class RestartPolicy {
 public:
  using Duration = std::chrono::steady_clock::duration;
  static constexpr std::chrono::milliseconds kFirstDelay{100};
  static constexpr std::chrono::seconds kLongestDelay{10};
  // Longer than any crash loop's turn; short enough that a crash per hour never waits 10 s.
  static constexpr std::chrono::seconds kStableAfter{30};

  // `served`: from ready to death, 0 if it was never ready. Returns the wait before the next start.
  Duration on_death(Death death, Duration served);

  // Deaths in a row that raised the back-off.
  int failures() const { return failures_; }

 private:
  int failures_ = 0;
};

}  // namespace saola::control
