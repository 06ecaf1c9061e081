#include "common/control/cpu_quota.h"

#include <gtest/gtest.h>

#include "tests/support/temporary_directory.h"

namespace saola::control {
namespace {

// A made-up root: what a system's /proc and /sys would say.
class CpuQuota : public testing::Test {
 protected:
  void v2_system(std::string_view group, std::string_view mount_root = "/",
                 std::string_view point = "/sys/fs/cgroup") {
    root_.write("proc/self/cgroup", "0::" + std::string(group) + "\n");
    root_.write("proc/self/mountinfo", "22 1 8:1 / / rw,relatime - ext4 /dev/vda1 rw\n30 22 0:26 " +
                                           std::string(mount_root) + " " + std::string(point) +
                                           " rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n");
  }
  void v1_system(std::string_view group, std::string_view mount_root = "/") {
    root_.write("proc/self/cgroup", "5:memory:" + std::string(group) + "\n4:cpu,cpuacct:" +
                                        std::string(group) + "\n1:name=systemd:/x\n");
    root_.write("proc/self/mountinfo",
                "33 22 0:30 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
                "34 22 0:31 " +
                    std::string(mount_root) +
                    " /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n");
  }
  int limit() const { return cgroup_cpu_limit(root_.path()); }

  test::TemporaryDirectory root_;
};

TEST_F(CpuQuota, IsNoneWithoutControlGroups) { EXPECT_EQ(limit(), 0); }

TEST_F(CpuQuota, ReadsV2AndRoundsUp) {
  v2_system("/");
  for (const auto& [line, expected] :
       {std::pair("200000 100000\n", 2), std::pair("150000 100000\n", 2),
        std::pair("10000 100000\n", 1), std::pair("max 100000\n", 0), std::pair("nonsense\n", 0),
        std::pair("", 0)}) {
    root_.write("sys/fs/cgroup/cpu.max", line);
    EXPECT_EQ(limit(), expected) << line;
  }
}

TEST_F(CpuQuota, ASmallerQuotaOfAParentCounts) {
  v2_system("/system.slice/saola.service");
  root_.write("sys/fs/cgroup/system.slice/saola.service/cpu.max", "800000 100000\n");
  EXPECT_EQ(limit(), 8);
  root_.write("sys/fs/cgroup/system.slice/cpu.max", "300000 100000\n");
  EXPECT_EQ(limit(), 3);
}

TEST_F(CpuQuota, ReadsV1) {
  v1_system("/docker/abc");
  root_.write("sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us", "250000\n");
  root_.write("sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(limit(), 3);
  root_.write("sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us", "-1\n");
  EXPECT_EQ(limit(), 0);
}

TEST_F(CpuQuota, ReadsV1InAContainerThatSeesTheHostsGroupNames) {
  // The mount shows the container's own group; /proc still names it as the host does.
  v1_system("/docker/abc", "/docker/abc");
  root_.write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "100000\n");
  root_.write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(limit(), 1);
}

TEST_F(CpuQuota, ReadsV2OfAHybridSystemAtItsOwnMountPoint) {
  v2_system("/user.slice", "/", "/sys/fs/cgroup/unified");
  root_.write("sys/fs/cgroup/unified/user.slice/cpu.max", "500000 100000\n");
  EXPECT_EQ(limit(), 5);
}

TEST_F(CpuQuota, AGroupOutsideTheMountIsReadAtTheMountPoint) {
  v2_system("/../..", "/kubepods/pod1");
  root_.write("sys/fs/cgroup/cpu.max", "400000 100000\n");
  EXPECT_EQ(limit(), 4);
}

TEST(AvailableCpus, IsAtLeastOne) { EXPECT_GE(available_cpus(), 1); }

}  // namespace
}  // namespace saola::control
