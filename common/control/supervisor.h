// The supervisor role: starts and watches the edge and the workers; carries no traffic and reads no
// network input. Single-threaded.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "common/config/config.h"
#include "common/control/upgrade_handover.h"
#include "common/core/result.h"
#include "common/core/unique_fd.h"

namespace saola::control {

struct SupervisorOptions {
  config::Config config;
  // The configuration as it is now, for a reload; an error has all problems, one per line.
  std::function<Result<config::Config>()> load;
  // Of this process, argv[0] too; an upgrade starts the next binary with them.
  std::vector<std::string> arguments;
  bool daemon = false;  // in the background: WINCH means something
  // From the image before; null: an ordinary start. Settled when it returns with a service that
  // was taken over; outlives the call.
  Handover* handover = nullptr;
};

// Runs until told to stop. Returns the process's exit code (docs/signals.md): 0, 1, 3 or 4.
// Children are started by exec of /proc/self/exe's descriptor, opened on entry, with the
// environment variable SAOLA_ROLE = "edge:FD" or "worker:FD" (FD: its control channel), which
// main() looks at first. `starter`: who waits for the outcome of the start (daemon.h); may be
// invalid.
int run_supervisor(const SupervisorOptions& options, UniqueFd starter = UniqueFd());

// The same behind the caller (daemon.h). In the process that called it returns when the server is
// ready (0), or has failed (its exit code, after its words on standard error).
int run_in_background(const SupervisorOptions& options, bool keeps_output);

}  // namespace saola::control
