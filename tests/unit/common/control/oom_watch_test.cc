#include "common/control/oom_watch.h"

#include <gtest/gtest.h>

#include "tests/support/temporary_directory.h"

namespace saola::control {
namespace {

class OomWatchTest : public testing::Test {
 protected:
  test::TemporaryDirectory root_;
};

TEST_F(OomWatchTest, TellsANewKillOnce) {
  root_.write("proc/self/cgroup", "0::/system.slice/saola.service\n");
  root_.write("proc/self/mountinfo", "30 22 0:26 / /cg rw shared:4 - cgroup2 cgroup2 rw\n");
  const char* events = "cg/system.slice/saola.service/memory.events";
  root_.write(events, "low 0\nhigh 7\nmax 9\noom 4\noom_kill 3\noom_group_kill 0\n");
  OomWatch watch(root_.path());
  EXPECT_FALSE(watch.has_killed()) << "those were before us";
  root_.write(events, "low 0\nhigh 7\nmax 9\noom 5\noom_kill 4\noom_group_kill 0\n");
  EXPECT_TRUE(watch.has_killed());
  EXPECT_FALSE(watch.has_killed());
}

TEST_F(OomWatchTest, ReadsVersion1) {
  root_.write("proc/self/cgroup", "5:memory:/docker/abc\n");
  root_.write("proc/self/mountinfo", "34 22 0:31 / /cg rw - cgroup cgroup rw,memory\n");
  const char* events = "cg/docker/abc/memory.oom_control";
  root_.write(events, "oom_kill_disable 0\nunder_oom 0\noom_kill 0\n");
  OomWatch watch(root_.path());
  root_.write(events, "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n");
  EXPECT_TRUE(watch.has_killed());
}

TEST_F(OomWatchTest, WithoutControlGroupsThereIsNothingToTell) {
  OomWatch watch(root_.path());
  EXPECT_FALSE(watch.has_killed());
}

}  // namespace
}  // namespace saola::control
