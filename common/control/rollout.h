// Rollout: what a rolling reload does next with the workers of one app. Pure: counts come as
// values.
//
//   the first new workers boot, boot_concurrency of them -> one is ready -> commit -> for each new
//   one that is ready an old one leaves, and when there is room the next one boots
//
// So after the commit an app never has more processes than it has at other times and
// boot_concurrency, those that are finishing included.
#pragma once

namespace saola::control {

struct RolloutView {
  int wanted = 0;  // workers of the new generation
  int boot_concurrency = 1;
  // The new generation's processes, all of them and in their first two states.
  int fresh = 0;
  int booting = 0;
  int ready = 0;
  // The generations before it, which serve until they are replaced.
  int before = 0;           // seats that they had at the commit
  int older_seats = 0;      // that they have still
  int older_processes = 0;  // with those that are leaving and those about to be started again
};

// Before the commit: whether one of the first may boot. One that is ready is to be tried out before
// more come.
bool may_boot_first(const RolloutView& view);

// After it: whether the next one may.
bool may_boot_next(const RolloutView& view);

// After it: how many of `older_seats` are to be given up now.
int seats_to_give_up(const RolloutView& view);

}  // namespace saola::control
