#include "common/control/scale_policy.h"

#include <gtest/gtest.h>

namespace saola::control {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class ScalePolicyTest : public testing::Test {
 protected:
  // One look a second; the workers are as many as were wanted, and all ready.
  int look(Clock::duration wait, std::uint64_t running) {
    now_ += seconds(1);
    workers_ = policy_.wanted(now_, {wait, workers_, workers_, running, 1});
    return workers_;
  }
  ScalePolicy policy_{2, 4};
  Clock::time_point now_{seconds(1000)};
  int workers_ = 2;
};

TEST_F(ScalePolicyTest, OneMoreWhenRequestsKeepWaiting) {
  EXPECT_EQ(look(milliseconds(500), 2), 2) << "a moment is none";
  EXPECT_EQ(look(milliseconds(500), 2), 3);
  EXPECT_EQ(look(milliseconds(500), 3), 3) << "the new one has to help first";
  EXPECT_EQ(look(milliseconds(500), 3), 3);
  EXPECT_EQ(look(milliseconds(500), 3), 4);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(look(seconds(5), 4), 4) << "the most";
}

TEST_F(ScalePolicyTest, WaitsThatComeAndGoChangeNothing) {
  for (int i = 0; i < 20; ++i) EXPECT_EQ(look(milliseconds(i % 2 == 0 ? 500 : 10), 2), 2);
}

TEST_F(ScalePolicyTest, NoMoreWhileOneBoots) {
  for (int i = 0; i < 10; ++i) {
    now_ += seconds(1);
    EXPECT_EQ(policy_.wanted(now_, {seconds(1), 3, 2, 2, 1}), 3);
  }
}

TEST_F(ScalePolicyTest, OneFewerAfterAQuietMinute) {
  workers_ = 4;
  for (int i = 0; i < 60; ++i) ASSERT_EQ(look({}, 1), 4);
  EXPECT_EQ(look({}, 1), 3);
  for (int i = 0; i < 59; ++i) ASSERT_EQ(look({}, 1), 3);
  EXPECT_EQ(look({}, 1), 2);
  for (int i = 0; i < 200; ++i) ASSERT_EQ(look({}, 0), 2) << "the fewest";
}

TEST_F(ScalePolicyTest, ABusyMomentStartsTheQuietTimeAnew) {
  workers_ = 3;
  for (int i = 0; i < 50; ++i) ASSERT_EQ(look({}, 0), 3);
  ASSERT_EQ(look({}, 3), 3);
  for (int i = 0; i < 60; ++i) ASSERT_EQ(look({}, 0), 3);
  EXPECT_EQ(look({}, 0), 2);
}

TEST_F(ScalePolicyTest, KeepsWithinItsBounds) {
  EXPECT_EQ(policy_.wanted(now_, {{}, 9, 9, 0, 1}), 4);
  EXPECT_EQ(policy_.wanted(now_, {{}, 1, 1, 0, 1}), 2);
}

}  // namespace
}  // namespace saola::control
