// How many descriptors this process has open.
#pragma once

#include <cstdint>

namespace saola {

// 0 if /proc cannot be read. One system call on Linux 6.2 and later, before that one per
// descriptor.
std::uint64_t count_open_descriptors();

}  // namespace saola
