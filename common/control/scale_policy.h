// ScalePolicy: how many workers an app needs, by what waits for them and how busy they are. Pure:
// figures and times come as values.
//
//   up      requests have waited for kWaitTooLong or more at two looks in a row: one worker more,
//           and another only after the last has had time to boot and help
//   down    nothing has waited and one worker fewer would have been at most kBusyEnough busy for
//           kQuiet: one worker fewer
//
// Up is quick and down is slow, so that a load that comes in waves does not restart workers.
#pragma once

#include <cstdint>

#include "common/core/clock.h"

namespace saola::control {

class ScalePolicy {
 public:
  static constexpr std::chrono::milliseconds kWaitTooLong{100};
  static constexpr std::chrono::seconds kBetweenUps{3};
  static constexpr std::chrono::seconds kQuiet{60};
  static constexpr double kBusyEnough = 0.6;

  struct Look {
    Clock::duration longest_wait{};  // of the requests that wait now
    int workers = 0;                 // that are wanted now
    int ready = 0;                   // of them
    std::uint64_t running = 0;       // requests that the workers have
    std::uint64_t slots = 1;         // requests that one worker runs at once
  };

  ScalePolicy(int min, int max) : min_(min), max_(max) {}

  // Call about once a second. Returns how many workers are wanted from now on.
  int wanted(Clock::time_point now, const Look& look);

 private:
  int min_;
  int max_;
  int waits_in_a_row_ = 0;
  Clock::time_point last_change_{};
  Clock::time_point quiet_since_{};
  bool quiet_ = false;
};

}  // namespace saola::control
