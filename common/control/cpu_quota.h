// How many processors this process may use: what `workers = "auto"` means.
#pragma once

#include <string>

namespace saola::control {

// The smallest CPU quota of the process's control groups and their parents, in processors, rounded
// up; 0 if there is none. Reads cgroup v2 (cpu.max) and v1 (cpu.cfs_quota_us), hybrid systems
// and containers without a cgroup namespace included. `root` is put before every path: tests make
// one up.
int cgroup_cpu_limit(const std::string& root);

// min(processors that the scheduler may use for us, cgroup_cpu_limit("")), at least 1.
int available_cpus();

}  // namespace saola::control
