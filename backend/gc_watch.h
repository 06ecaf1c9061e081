// GcWatch: how long Python's garbage collector holds everything up, into the worker's record of the
// scoreboard. Costs a call before and after each collection.
#pragma once

#include "common/core/result.h"
#include "common/ipc/scoreboard.h"

namespace saola::backend {

// From now on; `slot` lives as long as the interpreter. GIL held.
Result<void> watch_garbage_collector(ipc::WorkerSlot& slot);

}  // namespace saola::backend
