// Generation: everything that one load of the configuration brought. The processes of a generation
// are started with it; a reload makes the next one beside it, and what both use (listening sockets)
// is shared. Made whole or not at all.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common/config/config.h"
#include "common/control/credentials.h"
#include "common/control/listen_sockets.h"
#include "common/control/log_files.h"
#include "common/core/result.h"
#include "common/core/unique_fd.h"

namespace saola::control {

struct Generation {
  std::uint32_t number = 0;
  config::Config config;
  ListenSockets sockets;
  ListenSockets admin_sockets;  // one or none
  LogFiles logs;                // filled in by who made it
  UniqueFd edge_start;  // memory file, EdgeStart: keys as they were then, so that a restarted edge
                        // has them
  UniqueFd worker_start;              // memory file, WorkerStart
  UniqueFd admin_start;               // memory file, AdminStart
  std::vector<std::string> warnings;  // for the log: a key that everybody can read
};

struct GenerationProblems {
  std::vector<std::string> texts;
  // True: the files that the configuration names are at fault (exit code 4), not the system (1).
  bool configuration = false;
};

// Opens and reads what `config` names. Sockets of `before` (may be null) are used again. All
// problems are reported at once, each with a hint what to do.
Result<std::shared_ptr<Generation>, GenerationProblems> make_generation(std::uint32_t number,
                                                                        config::Config config,
                                                                        const Credentials& owner,
                                                                        const Generation* before);

// Opens and reads what [admin] of made.config names; a part of make_generation().
void make_admin(Generation& made, const Credentials& owner, const ListenSockets* before,
                std::vector<std::string>& problems);

// What cannot change while the server runs, one sentence each: "[server] user cannot change ...".
std::vector<std::string> needs_restart(const config::Config& now, const config::Config& next);

}  // namespace saola::control
