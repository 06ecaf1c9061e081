// Which server a command is for: the path of its control socket.
#pragma once

#include <string>
#include <vector>

#include "common/cli/commands.h"

namespace saola::cli {

struct TargetOptions {
  std::string socket;  // --socket
  std::string config;  // -c
};

// --socket; else what the configuration says (-c, SAOLA_CONFIG, or saola.toml if it is there); else
// the only server that has a socket in `directories`. The error says what to do; it may have
// several lines.
Result<std::string> find_control_socket(const TargetOptions& options, const Invocation& invocation,
                                        const std::vector<std::string>& directories);

// The directories of this user: /run/saola (root), $XDG_RUNTIME_DIR/saola.
std::vector<std::string> control_directories(const Invocation& invocation);

}  // namespace saola::cli
