// What workers and zygotes do alike before they load the application.
#pragma once

#include "common/config/config.h"
#include "common/core/result.h"
#include "common/core/unique_fd.h"

namespace saola::backend {

// The configuration in a memory file with WorkerStart.
Result<config::Config> read_worker_start(const UniqueFd& file);

// Fatal signals print all Python stacks to standard error, without the GIL. GIL held.
Result<void> enable_faulthandler();

}  // namespace saola::backend
