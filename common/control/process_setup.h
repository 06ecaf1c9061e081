// What the supervisor does to itself before anything else.
#pragma once

#include <cstdint>

#include "common/core/result.h"

namespace saola::control {

// A process may be started with 0, 1 or 2 closed; the next file opened would become its standard
// error, and get its log lines. Fills the gaps with /dev/null.
void open_standard_descriptors();

// Descriptors above 2 that came from the parent (listening sockets, a terminal multiplexer's
// leftovers) must not reach the children.
void close_inherited_descriptors_on_exec();

// Soft limit of open files to the hard limit; children inherit it. Returns the limit now. At most
// 1,048,576: a "no limit" of a billion makes programs that loop over all descriptors stand still.
std::uint64_t raise_descriptor_limit();

}  // namespace saola::control
