#include "common/control/cgroup.h"

#include <algorithm>
#include <fstream>

namespace saola::control {
namespace {

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  std::size_t begin = 0;
  while (begin <= text.size()) {
    const std::size_t end = std::min(text.find(separator, begin), text.size());
    parts.emplace_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

bool has_word(const std::string& list, std::string_view word) {
  const auto words = split(list, ',');
  return std::find(words.begin(), words.end(), word) != words.end();
}

// One line of /proc/self/mountinfo (proc(5)).
struct Mount {
  std::string root;   // which directory of the file system is mounted
  std::string point;  // where
  std::string type;
  std::string options;  // of the file system: for v1 its controllers
};

std::vector<Mount> read_mounts(const std::string& root) {
  std::vector<Mount> mounts;
  std::ifstream file(root + "/proc/self/mountinfo");
  for (std::string line; std::getline(file, line);) {
    const std::size_t dash = line.find(" - ");
    if (dash == std::string::npos) continue;
    const auto left = split(std::string_view(line).substr(0, dash), ' ');
    const auto right = split(std::string_view(line).substr(dash + 3), ' ');
    if (left.size() < 6 || right.size() < 3) continue;
    mounts.push_back({left[3], left[4], right[0], right[2]});
  }
  return mounts;
}

// `group` as seen below the mount. In a container without a cgroup namespace the group's path is
// the host's, and the mount shows the container's own directory as its root.
std::string below(const Mount& mount, const std::string& group) {
  if (mount.root == "/") return group == "/" ? "" : group;
  if (group == mount.root) return "";
  if (group.starts_with(mount.root + "/")) return group.substr(mount.root.size());
  return "";
}

}  // namespace

std::vector<std::string> CgroupDirectory::upwards() const {
  std::vector<std::string> all;
  std::string directory = below;
  while (true) {
    all.push_back(top + directory);
    if (directory.empty()) return all;
    const std::size_t slash = directory.rfind('/');
    directory.resize(slash == std::string::npos ? 0 : slash);
  }
}

std::vector<CgroupDirectory> cgroup_directories(const std::string& root,
                                                std::string_view controller) {
  std::vector<CgroupDirectory> found;
  const auto mounts = read_mounts(root);
  std::ifstream groups(root + "/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    // hierarchy:controllers:path
    const std::size_t first = line.find(':');
    const std::size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::string group = line.substr(second + 1);
    const bool v2 = controllers.empty();
    if (!v2 && !has_word(controllers, controller)) continue;
    for (const auto& mount : mounts) {
      const bool matches = v2 ? mount.type == "cgroup2"
                              : mount.type == "cgroup" && has_word(mount.options, controller);
      if (matches) found.push_back({root + mount.point, below(mount, group), v2});
    }
  }
  return found;
}

}  // namespace saola::control
