// How much memory a process uses, as /proc says.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

namespace saola::control {

// Bytes: PSS (shared pages counted by their share) where the kernel lets us read it, else RSS; 0 if
// the process has gone. Walks its page tables: for a timer, not for every request. `proc` is where
// procfs is mounted.
std::uint64_t used_memory(pid_t pid, const std::string& proc = "/proc");
// RSS alone, which costs one read.
std::uint64_t resident_memory(pid_t pid, const std::string& proc = "/proc");

}  // namespace saola::control
