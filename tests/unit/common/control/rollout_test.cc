#include "common/control/rollout.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace saola::control {
namespace {

RolloutView four_by_four() {
  RolloutView view;
  view.wanted = view.before = view.older_seats = view.older_processes = 4;
  return view;
}

TEST(Rollout, TheFirstWorkersBootUntilOneIsReady) {
  RolloutView view = four_by_four();
  EXPECT_TRUE(may_boot_first(view));
  view.fresh = view.booting = 1;
  EXPECT_FALSE(may_boot_first(view)) << "boot_concurrency is 1";
  view.boot_concurrency = 2;
  EXPECT_TRUE(may_boot_first(view));
  view.booting = 0;
  view.ready = 1;
  EXPECT_FALSE(may_boot_first(view)) << "it is to be tried out";
}

TEST(Rollout, AnOldWorkerLeavesForEachNewOneThatIsReady) {
  RolloutView view = four_by_four();
  EXPECT_EQ(seats_to_give_up(view), 0);
  view.fresh = view.ready = 1;
  EXPECT_EQ(seats_to_give_up(view), 1);
  view.older_seats = 3;
  EXPECT_EQ(seats_to_give_up(view), 0) << "it has left";
  view.ready = 0;
  EXPECT_EQ(seats_to_give_up(view), 0) << "a new one that died takes nobody with it";
}

TEST(Rollout, TheNextOneWaitsUntilTheOldOneHasEnded) {
  RolloutView view = four_by_four();
  view.fresh = view.ready = 1;
  view.older_seats = 3;
  EXPECT_FALSE(may_boot_next(view)) << "four of the old ones and a new one run";
  view.older_processes = 3;
  EXPECT_TRUE(may_boot_next(view));
}

TEST(Rollout, AllOldOnesLeaveWithTheLastNewOne) {
  RolloutView view = four_by_four();
  view.wanted = 2;
  view.fresh = view.ready = 2;
  view.older_seats = view.older_processes = 3;
  EXPECT_EQ(seats_to_give_up(view), 3);
}

// Plays a whole roll: whatever the numbers, it ends, serves with as many as before, and keeps
// its bound.
TEST(Rollout, NeverHasMoreOrFewerThanItMay) {
  for (int before = 0; before <= 5; ++before) {
    for (int wanted = 1; wanted <= 5; ++wanted) {
      for (int at_once = 1; at_once <= 3; ++at_once) {
        RolloutView view;
        view.wanted = wanted;
        view.before = view.older_seats = view.older_processes = before;
        view.boot_concurrency = at_once;
        bool committed = false;
        int turns = 0;
        while (view.ready < wanted || view.older_processes > 0) {
          ASSERT_LT(++turns, 100) << before << " " << wanted << " " << at_once;
          const auto may_boot = [&] {
            if (view.fresh >= wanted) return false;
            return committed ? may_boot_next(view) : may_boot_first(view);
          };
          while (may_boot()) ++view.fresh, ++view.booting;
          EXPECT_LE(view.fresh + view.older_processes, std::max(before, wanted) + at_once);
          if (view.booting > 0) --view.booting, ++view.ready, committed = true;
          view.older_seats -= seats_to_give_up(view);
          EXPECT_GE(view.older_seats + view.ready, std::min(before, wanted));
          // One of those that leave ends.
          if (view.older_processes > view.older_seats) --view.older_processes;
        }
        EXPECT_EQ(view.fresh, wanted);
      }
    }
  }
}

}  // namespace
}  // namespace saola::control
