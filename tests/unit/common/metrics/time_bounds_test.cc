#include "common/metrics/time_bounds.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace saola::metrics {
namespace {

using testing::ElementsAre;

TEST(TimeBounds, ComeBackFromAKey) {
  const TimeBounds bounds({1, 20, 300});
  const auto read = TimeBounds::parse_key(bounds.text());
  ASSERT_TRUE(read);
  EXPECT_EQ(read->text(), "1,20,300");
  EXPECT_THAT(read->nanoseconds(), ElementsAre(1, 20, 300));
  EXPECT_TRUE(TimeBounds::parse_key("")->nanoseconds().empty());
}

TEST(TimeBounds, NothingElseInAKeyIsTaken) {
  for (const char* text : {"x", "1,", ",1", "1,,2", "2,1", "1,1", "-1", "1 2",
                           "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,"
                           "27,28,29,30,31,32,33"}) {
    EXPECT_FALSE(TimeBounds::parse_key(text)) << text;
  }
}

}  // namespace
}  // namespace saola::metrics
