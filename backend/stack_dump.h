// The Python stacks of all threads of this process, as text, without the GIL: also while Python
// hangs in a C loop that holds it.
//
// CPython's own dump (what faulthandler prints) walks frames that other threads may be changing. So
// it runs in a snapshot of the process, a child that has only this thread: what it may stumble over
// costs the child, never the worker and its requests.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "backend/request_channel.h"

namespace saola::backend {

// What to do where no snapshot can be made (the process limit is reached, say).
enum class StackRisk {
  kNone,      // then there are no stacks: the worker goes on serving
  kAccepted,  // walk in this process, as faulthandler does: the worker is about to be given up
};

// In any thread but the ones that are to be shown; takes milliseconds, two seconds at most. Text as
// of faulthandler, cut to kLongestStacks; or a line that says why there is none.
std::string python_stacks(StackRisk risk);

inline constexpr std::size_t kLongestStacks = std::size_t{64} * 1024;

// The block for the error log: `heading`, a line per request (the longest first), the stacks.
std::string stack_report(std::string_view heading, const std::vector<RunningRequest>& requests,
                         std::string_view stacks);

}  // namespace saola::backend
