#include "common/control/credentials.h"

#include <gmock/gmock.h>
#include <pwd.h>
#include <unistd.h>

namespace saola::control {
namespace {

using testing::HasSubstr;

TEST(Credentials, NothingConfiguredChangesNothing) {
  const auto credentials = resolve_credentials("", "");
  ASSERT_TRUE(credentials);
  EXPECT_FALSE(credentials->change);
}

TEST(Credentials, NamesAUserOrGroupThatDoesNotExist) {
  EXPECT_THAT(resolve_credentials("no-such-user", "").error().message, HasSubstr("no-such-user"));
  EXPECT_THAT(resolve_credentials("", "no-such-group").error().message, HasSubstr("no-such-group"));
}

TEST(Credentials, AsRootAUserBringsItsGroups) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  const passwd* nobody = ::getpwnam("nobody");
  ASSERT_NE(nobody, nullptr);
  const auto credentials = resolve_credentials("nobody", "");
  ASSERT_TRUE(credentials);
  EXPECT_TRUE(credentials->change);
  EXPECT_EQ(credentials->uid, nobody->pw_uid);
  EXPECT_EQ(credentials->gid, nobody->pw_gid);
  EXPECT_THAT(credentials->groups, testing::Contains(nobody->pw_gid));
}

TEST(Credentials, AsRootNumbersNeedNoEntry) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  const auto credentials = resolve_credentials("54321", "54322");
  ASSERT_TRUE(credentials) << credentials.error().message;
  EXPECT_EQ(credentials->uid, 54321U);
  EXPECT_EQ(credentials->gid, 54322U);
  EXPECT_THAT(credentials->groups, testing::ElementsAre(54322U));
  EXPECT_FALSE(resolve_credentials("54321", "")) << "in which group?";
}

TEST(Credentials, OnlyRootCanNameAnotherUser) {
  if (::geteuid() == 0) GTEST_SKIP() << "needs not to be root";
  EXPECT_THAT(resolve_credentials("root", "").error().message, HasSubstr("only root"));
  EXPECT_TRUE(resolve_credentials(std::to_string(::geteuid()), ""));
}

}  // namespace
}  // namespace saola::control
