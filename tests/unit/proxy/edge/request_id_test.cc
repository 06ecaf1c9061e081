#include "proxy/request_id.h"

#include <gtest/gtest.h>

#include <set>

namespace saola::proxy {
namespace {

TEST(RequestId, AcceptsHarmlessIdsOfClients) {
  EXPECT_TRUE(is_valid_request_id("a"));
  EXPECT_TRUE(is_valid_request_id("7f3b_A-z.9"));
  EXPECT_TRUE(is_valid_request_id(std::string(128, 'x')));
}

TEST(RequestId, RefusesWhatCouldBreakALogLine) {
  for (const char* id : {"", "a b", "a\nb", "a\"b", "\xc3\xa4", "a/b", "a;b"}) {
    EXPECT_FALSE(is_valid_request_id(id)) << id;
  }
  EXPECT_FALSE(is_valid_request_id(std::string(129, 'x')));
}

TEST(RequestId, OurOwnAreValidAndNeverTheSame) {
  RequestIdSource source;
  std::set<std::string> seen;
  std::string id;
  for (int i = 0; i < 10000; ++i) {
    source.next(id);
    EXPECT_TRUE(is_valid_request_id(id));
    EXPECT_EQ(id.size(), 32U);
    EXPECT_TRUE(seen.insert(id).second);
  }
}

}  // namespace
}  // namespace saola::proxy
