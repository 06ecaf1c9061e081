#include "common/control/oom_watch.h"

#include <fstream>
#include <utility>

#include "common/control/cgroup.h"

namespace saola::control {

OomWatch::OomWatch(const std::string& root) {
  for (const auto& group : cgroup_directories(root, "memory")) {
    files_.push_back(group.path() + (group.is_v2 ? "/memory.events" : "/memory.oom_control"));
  }
  seen_ = count();
}

std::uint64_t OomWatch::count() const {
  std::uint64_t total = 0;
  for (const auto& path : files_) {
    std::ifstream file(path);
    std::string name;
    std::uint64_t value = 0;
    while (file >> name >> value) {
      if (name == "oom_kill") total += value;
    }
  }
  return total;
}

bool OomWatch::has_killed() {
  const std::uint64_t now = count();
  return now > std::exchange(seen_, now);
}

}  // namespace saola::control
