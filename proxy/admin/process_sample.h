// ProcessSample: what /proc says of one process.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

namespace saola::proxy {

struct ProcessSample {
  std::uint64_t resident_bytes = 0;
  double user_seconds = 0;
  double system_seconds = 0;
};

// Nothing if the process has gone. `proc` is where procfs is mounted.
std::optional<ProcessSample> sample_process(pid_t pid, const std::string& proc = "/proc");
// PSS; walks the process's page tables. Nothing where it cannot be read.
std::optional<std::uint64_t> proportional_memory(pid_t pid, const std::string& proc = "/proc");

}  // namespace saola::proxy
