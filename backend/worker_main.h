// The worker role: what the process does between exec and exit.
#pragma once

#include <span>

#include "common/config/config.h"

namespace saola::backend {

// `control_fd` is the channel to the supervisor; its first message is WorkerInit. Returns the exit
// code.
int run_worker(int control_fd);

// The zygote role: imports an app and forks workers; returns in each of these processes. `title`:
// the memory of argv[0]. The first message is ZygoteInit.
int run_zygote(int control_fd, std::span<char> title);

// Loads the apps of a configuration as a worker would, for `saola check --import`; prints what is
// wrong. 0 or 3.
int check_import(const config::Config& config);

}  // namespace saola::backend
