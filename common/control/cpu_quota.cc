#include "common/control/cpu_quota.h"

#include <sched.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <fstream>
#include <limits>
#include <optional>

#include "common/control/cgroup.h"
#include "common/core/c_ptr.h"

namespace saola::control {
namespace {

std::optional<std::string> first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  if (!std::getline(file, line)) return std::nullopt;
  return line;
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
  const std::size_t space = line->find(' ');
  if (space == std::string::npos) return std::nullopt;
  return processors(line->substr(0, space), line->substr(space + 1));
}

std::optional<int> read_v1(const std::string& directory) {
  const auto quota = first_line(directory + "/cpu.cfs_quota_us");
  const auto period = first_line(directory + "/cpu.cfs_period_us");
  return quota && period ? processors(*quota, *period) : std::nullopt;
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
  int limit = 0;
  for (const auto& group : cgroup_directories(root, "cpu")) {
    for (const auto& directory : group.upwards()) {
      const auto here = group.is_v2 ? read_v2(directory) : read_v1(directory);
      limit = smaller_limit(limit, here.value_or(0));
    }
  }
  return limit;
}

int available_cpus() { return std::max(1, smaller_limit(scheduler_cpus(), cgroup_cpu_limit(""))); }

}  // namespace saola::control
