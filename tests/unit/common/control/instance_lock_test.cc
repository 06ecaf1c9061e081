#include "common/control/instance_lock.h"

#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>

#include "tests/support/temporary_directory.h"

namespace saola::control {
namespace {

std::string content(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

TEST(InstanceLock, WritesThePidAndRemovesTheFileAtTheEnd) {
  const test::TemporaryDirectory directory;
  const std::string path = directory.path("saola.pid");
  {
    const auto lock = InstanceLock::acquire(path);
    ASSERT_TRUE(lock) << lock.error().message;
    EXPECT_EQ(content(path), std::to_string(::getpid()) + "\n");
  }
  EXPECT_TRUE(std::filesystem::is_empty(directory.path()));
}

TEST(InstanceLock, RefusesASecondInstanceAndNamesThePidOfTheFirst) {
  const test::TemporaryDirectory directory;
  const std::string path = directory.path("saola.pid");
  const auto first = InstanceLock::acquire(path);
  ASSERT_TRUE(first);
  // flock(2) belongs to the open file, so a second one in this process stands for another process.
  const auto second = InstanceLock::acquire(path);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, EWOULDBLOCK);
  EXPECT_EQ(second.error().message,
            "already running: pid " + std::to_string(::getpid()) + " holds " + path);
  EXPECT_EQ(content(path), std::to_string(::getpid()) + "\n");
}

TEST(InstanceLock, TakesOverTheFileOfADeadInstance) {
  const test::TemporaryDirectory directory;
  const std::string path = directory.write("saola.pid", "999999999\n");
  const auto lock = InstanceLock::acquire(path);
  ASSERT_TRUE(lock) << lock.error().message;
  EXPECT_EQ(content(path), std::to_string(::getpid()) + "\n");
}

TEST(InstanceLock, LeavesAFileAloneThatSomebodyElsePutInItsPlace) {
  const test::TemporaryDirectory directory;
  const std::string path = directory.path("saola.pid");
  {
    auto lock = InstanceLock::acquire(path);
    ASSERT_TRUE(lock);
    std::filesystem::rename(directory.write("other", "1\n"), path);
  }
  EXPECT_EQ(content(path), "1\n");
}

TEST(InstanceLock, NoticesThatItsFileHasGone) {
  const test::TemporaryDirectory directory;
  const std::string path = directory.path("saola.pid");
  auto lock = InstanceLock::acquire(path);
  ASSERT_TRUE(lock);
  EXPECT_TRUE(lock->is_there());
  std::filesystem::remove(path);
  EXPECT_FALSE(lock->is_there());
  auto again = InstanceLock::acquire(path);
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_FALSE(lock->is_there());
  *lock = *std::move(again);
  EXPECT_TRUE(lock->is_there());
  EXPECT_EQ(content(path), std::to_string(::getpid()) + "\n");
}

TEST(InstanceLock, SaysWhyItCannotBeMade) {
  const test::TemporaryDirectory directory;
  const auto lock = InstanceLock::acquire(directory.path("missing/saola.pid"));
  ASSERT_FALSE(lock);
  EXPECT_EQ(lock.error().code, ENOENT);
  EXPECT_NE(lock.error().message.find("missing/saola.pid"), std::string::npos);
}

TEST(InstanceLock, FollowsNoSymbolicLink) {
  const test::TemporaryDirectory directory;
  const std::string victim = directory.write("victim", "precious");
  std::filesystem::create_symlink(victim, directory.path("saola.pid"));
  EXPECT_FALSE(InstanceLock::acquire(directory.path("saola.pid")));
  EXPECT_EQ(content(victim), "precious");
}

}  // namespace
}  // namespace saola::control
