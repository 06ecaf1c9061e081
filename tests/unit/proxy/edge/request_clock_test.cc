#include "proxy/request_clock.h"

#include <gtest/gtest.h>

namespace saola::proxy {
namespace {

using std::chrono::milliseconds;
using Verdict = RequestClock::Verdict;

class RequestClockTest : public testing::Test {
 protected:
  Verdict look_at(int ms) {
    return clock_.look(Clock::time_point(milliseconds(ms)), sight_, times_, milliseconds(50));
  }
  void claim_at(int ms) {
    sight_.claimed = true;
    EXPECT_EQ(look_at(ms), Verdict::kNothing);
  }

  RequestClock clock_;
  RequestClock::Sight sight_{.stream = 7};
  RequestTimes times_{milliseconds(100), milliseconds(0)};
};

TEST_F(RequestClockTest, TimeCountsFromTheClaim) {
  for (int ms = 0; ms < 1000; ms += 100) EXPECT_EQ(look_at(ms), Verdict::kNothing);
  claim_at(1000);
  EXPECT_EQ(look_at(1099), Verdict::kNothing);
  EXPECT_EQ(look_at(1100), Verdict::kRequestTimeout);
}

TEST_F(RequestClockTest, EachSignOfTheWorkerBeginsAnew) {
  claim_at(0);
  sight_.heard = true;
  for (int ms = 90; ms < 2000; ms += 90) EXPECT_EQ(look_at(ms), Verdict::kNothing);
  sight_.heard = false;  // the last one was at 1980
  EXPECT_EQ(look_at(2079), Verdict::kNothing);
  EXPECT_EQ(look_at(2080), Verdict::kRequestTimeout);
}

TEST_F(RequestClockTest, ASlowClientsTimeIsNotTheWorkers) {
  claim_at(0);
  sight_.client_holds = true;
  for (int ms = 90; ms <= 900; ms += 90) EXPECT_EQ(look_at(ms), Verdict::kNothing);
  sight_.client_holds = false;
  EXPECT_EQ(look_at(999), Verdict::kNothing);
  EXPECT_EQ(look_at(1000), Verdict::kRequestTimeout);
}

TEST_F(RequestClockTest, TheWholeTimeCountsWhateverHappens) {
  times_ = {milliseconds(100), milliseconds(300)};
  claim_at(0);
  sight_.heard = sight_.client_holds = true;
  EXPECT_EQ(look_at(299), Verdict::kNothing);
  EXPECT_EQ(look_at(300), Verdict::kMaxTime);
}

TEST_F(RequestClockTest, NothingIsDueWhenBothAreOff) {
  times_ = {};
  EXPECT_FALSE(times_.any());
  claim_at(0);
  EXPECT_EQ(look_at(1'000'000), Verdict::kNothing);
}

TEST_F(RequestClockTest, AfterTheTimeOutTheGraceRunsOnce) {
  claim_at(0);
  EXPECT_EQ(look_at(100), Verdict::kRequestTimeout);
  EXPECT_EQ(look_at(149), Verdict::kNothing);
  EXPECT_FALSE(clock_.overdue());
  EXPECT_EQ(look_at(150), Verdict::kOverdue);
  EXPECT_TRUE(clock_.overdue());
  EXPECT_EQ(look_at(1000), Verdict::kNothing);
}

TEST_F(RequestClockTest, WithoutItsClientTheTimeSinceTheClaimCounts) {
  claim_at(0);
  sight_.heard = true;
  EXPECT_EQ(look_at(90), Verdict::kNothing);
  sight_.client_gone = true;
  EXPECT_EQ(look_at(99), Verdict::kNothing);
  EXPECT_EQ(look_at(100), Verdict::kRequestTimeout);
  EXPECT_EQ(look_at(150), Verdict::kOverdue);
}

TEST_F(RequestClockTest, TheSlotsNextRequestStartsFresh) {
  claim_at(0);
  EXPECT_EQ(look_at(100), Verdict::kRequestTimeout);
  sight_ = {.stream = 8};
  EXPECT_EQ(look_at(1000), Verdict::kNothing);
  claim_at(1100);
  EXPECT_EQ(look_at(1199), Verdict::kNothing);
  clock_.reset();  // and so does one with the same number, much later
  EXPECT_EQ(look_at(9000), Verdict::kNothing);
  EXPECT_EQ(look_at(9099), Verdict::kNothing);
}

}  // namespace
}  // namespace saola::proxy
