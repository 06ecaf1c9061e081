#include "common/config/activation.h"

#include <gmock/gmock.h>

namespace saola::config {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

TEST(Activation, NumbersSocketsFromThreeAndNamesThem) {
  const auto sockets = activated_sockets("4711", "3", "web::admin", 4711);
  ASSERT_EQ(sockets.size(), 3U);
  EXPECT_EQ(sockets[0].fd, 3);
  EXPECT_EQ(sockets[0].name, "web");
  EXPECT_EQ(sockets[1].name, "unknown");
  EXPECT_EQ(sockets[2].fd, 5);
  EXPECT_EQ(sockets[2].name, "admin");
}

TEST(Activation, NamesMayBeMissing) {
  const auto sockets = activated_sockets("1", "2", "", 1);
  ASSERT_EQ(sockets.size(), 2U);
  EXPECT_EQ(sockets[1].name, "unknown");
}

TEST(Activation, IsNotForAnotherProcessAndNotMadeOfNonsense) {
  EXPECT_THAT(activated_sockets("4712", "1", "web", 4711), IsEmpty());
  for (const char* count : {"", "x", "-1", "1x", "99999999999999999999", "5000"}) {
    EXPECT_THAT(activated_sockets("1", count, "", 1), IsEmpty()) << count;
  }
}

TEST(Activation, ANameMeansOneSocket) {
  const auto sockets = activated_sockets("1", "3", "web:web:admin", 1);
  const auto admin = find_activated("admin", sockets);
  ASSERT_TRUE(admin) << admin.error().message;
  EXPECT_EQ(*admin, 5);
  EXPECT_THAT(find_activated("web", sockets).error().message, HasSubstr("FileDescriptorName="));
  EXPECT_THAT(find_activated("x", sockets).error().message, HasSubstr("'admin'"));
  EXPECT_THAT(find_activated("x", {}).error().message, HasSubstr("LISTEN_FDS"));
}

}  // namespace
}  // namespace saola::config
