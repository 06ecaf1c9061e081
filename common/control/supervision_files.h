// What the supervisor holds for all its life and hands to its children.
#pragma once

#include <vector>

#include "common/config/config.h"
#include "common/core/unique_fd.h"

namespace saola::control {

struct SupervisionFiles {
  UniqueFd error_log;
  UniqueFd access_log;    // invalid: none
  UniqueFd edge_start;    // memory file, EdgeStart: keys as they were at start, so a restarted edge
                          // has them
  UniqueFd worker_start;  // memory file, WorkerStart
  UniqueFd scoreboard;    // ipc::Scoreboard
  std::vector<int> listeners;  // in order of config.listen; belong to ListenSockets
};

}  // namespace saola::control
