// Where the control groups of this process are, as /proc says: versions 1 and 2, with and without a
// cgroup namespace.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace saola::control {

struct CgroupDirectory {
  std::string top;    // where the file system is mounted
  std::string below;  // this process's group below it: "/a/b", or empty
  bool is_v2 = false;

  std::string path() const { return top + below; }
  // The group and the groups that it is in, the innermost first.
  std::vector<std::string> upwards() const;
};

// Of `controller` ("cpu", "memory"). `root`: where /proc and the mounts are looked up; empty for
// the real ones.
std::vector<CgroupDirectory> cgroup_directories(const std::string& root,
                                                std::string_view controller);

}  // namespace saola::control
