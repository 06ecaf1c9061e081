#include "common/control/restart_policy.h"

#include <gtest/gtest.h>

namespace saola::control {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr RestartPolicy::Duration kNever = RestartPolicy::Duration::zero();

TEST(RestartPolicy, DoublesTheWaitUpToTenSecondsWhileTheAppCannotStart) {
  RestartPolicy policy;
  for (const int expected : {100, 200, 400, 800, 1600, 3200, 6400, 10000, 10000, 10000}) {
    EXPECT_EQ(policy.on_death(Death::kBeforeReady, kNever), milliseconds(expected));
  }
  EXPECT_EQ(policy.failures(), 10);
}

TEST(RestartPolicy, AKillFromOutsideAfterReadyIsReplacedAtOnceAndDoesNotRaiseTheWait) {
  RestartPolicy policy;
  for (int i = 0; i < 20; ++i) EXPECT_EQ(policy.on_death(Death::kOutside, seconds(1)), kNever);
  EXPECT_EQ(policy.failures(), 0);
  EXPECT_EQ(policy.on_death(Death::kBeforeReady, kNever), milliseconds(100));
}

TEST(RestartPolicy, AKillFromOutsideDoesNotForgiveACrashLoopEither) {
  RestartPolicy policy;
  (void)policy.on_death(Death::kBeforeReady, kNever);
  (void)policy.on_death(Death::kBeforeReady, kNever);
  EXPECT_EQ(policy.on_death(Death::kOutside, seconds(1)), kNever);
  EXPECT_EQ(policy.on_death(Death::kBeforeReady, kNever), milliseconds(400));
}

TEST(RestartPolicy, AWorkerThatCrashesSoonAfterReadyBacksOff) {
  RestartPolicy policy;
  EXPECT_EQ(policy.on_death(Death::kCrash, seconds(1)), milliseconds(100));
  EXPECT_EQ(policy.on_death(Death::kCrash, seconds(1)), milliseconds(200));
}

TEST(RestartPolicy, ACrashAfterLongServiceIsTheFirstOfItsKind) {
  RestartPolicy policy;
  for (int i = 0; i < 6; ++i) (void)policy.on_death(Death::kCrash, seconds(1));
  EXPECT_EQ(policy.on_death(Death::kCrash, RestartPolicy::kStableAfter), milliseconds(100));
  EXPECT_EQ(policy.failures(), 1);
}

}  // namespace
}  // namespace saola::control
