// OomWatch: whether the kernel's OOM killer has been at work in our control groups. Its victims
// look like any process that somebody killed with SIGKILL; the groups' event counters tell them
// apart.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace saola::control {

class OomWatch {
 public:
  // `root` as for cgroup_directories().
  explicit OomWatch(const std::string& root = "");

  // True if the OOM killer has killed something in our groups since the last call, or since the
  // start. Reads one small file per group.
  bool has_killed();

 private:
  std::uint64_t count() const;

  std::vector<std::string> files_;  // memory.events (v2), memory.oom_control (v1)
  std::uint64_t seen_ = 0;
};

}  // namespace saola::control
