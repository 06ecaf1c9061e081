#include "common/control/cpu_quota.h"

#include <sched.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <fstream>
#include <limits>
#include <optional>
#include <sstream>
#include <string_view>
#include <vector>

#include "common/core/c_ptr.h"

namespace saola::control {
namespace {

std::optional<std::string> first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  if (!std::getline(file, line)) return std::nullopt;
  return line;
}

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

std::optional<std::int64_t> to_number(const std::string& text) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

// Processors for `quota` microseconds per `period`; nothing for "no limit" and for nonsense.
std::optional<int> processors(const std::string& quota, const std::string& period) {
  const auto q = to_number(quota);
  const auto p = to_number(period);
  if (!q || !p || *q <= 0 || *p <= 0) return std::nullopt;
  const std::int64_t rounded_up = *q / *p + (*q % *p != 0 ? 1 : 0);
  return static_cast<int>(std::min<std::int64_t>(rounded_up, std::numeric_limits<int>::max()));
}

std::optional<int> read_v2(const std::string& directory) {
  const auto line = first_line(directory + "/cpu.max");
  if (!line) return std::nullopt;
  const auto words = split(*line, ' ');
  return words.size() == 2 ? processors(words[0], words[1]) : std::nullopt;
}

std::optional<int> read_v1(const std::string& directory) {
  const auto quota = first_line(directory + "/cpu.cfs_quota_us");
  const auto period = first_line(directory + "/cpu.cfs_period_us");
  return quota && period ? processors(*quota, *period) : std::nullopt;
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

template <class Read>
int smallest_up_to_root(const std::string& top, std::string directory, const Read& read) {
  int limit = 0;
  while (true) {
    if (const auto here = read(top + directory)) {
      limit = limit == 0 ? *here : std::min(limit, *here);
    }
    if (directory.empty()) return limit;
    const std::size_t slash = directory.rfind('/');
    directory.resize(slash == std::string::npos ? 0 : slash);
  }
}

int smaller_limit(int a, int b) { return a == 0 || b == 0 ? std::max(a, b) : std::min(a, b); }

int scheduler_cpus() {
  // The kernel refuses a mask that is too short for it.
  for (std::size_t cpus = 1024; cpus <= std::size_t{1} << 20; cpus *= 2) {
    const std::size_t bytes = CPU_ALLOC_SIZE(cpus);
    const CPtr<cpu_set_t, __sched_cpufree> set(CPU_ALLOC(cpus));
    if (set == nullptr) break;
    if (::sched_getaffinity(0, bytes, set.get()) == 0) return CPU_COUNT_S(bytes, set.get());
  }
  return 1;
}

}  // namespace

int cgroup_cpu_limit(const std::string& root) {
  const auto mounts = read_mounts(root);
  int limit = 0;
  std::ifstream groups(root + "/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    // hierarchy:controllers:path
    const std::size_t first = line.find(':');
    const std::size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::string group = line.substr(second + 1);
    const bool v2 = controllers.empty();
    if (!v2 && !has_word(controllers, "cpu")) continue;
    for (const auto& mount : mounts) {
      const bool matches =
          v2 ? mount.type == "cgroup2" : mount.type == "cgroup" && has_word(mount.options, "cpu");
      if (!matches) continue;
      const std::string directory = below(mount, group);
      const std::string top = root + mount.point;
      limit = smaller_limit(limit, v2 ? smallest_up_to_root(top, directory, read_v2)
                                      : smallest_up_to_root(top, directory, read_v1));
    }
  }
  return limit;
}

int available_cpus() { return std::max(1, smaller_limit(scheduler_cpus(), cgroup_cpu_limit(""))); }

}  // namespace saola::control
