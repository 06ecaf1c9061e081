// The edge role: what the process does between exec and exit.
#pragma once

namespace saola::proxy {

// `control_fd` is the channel to the supervisor; its first message is EdgeInit. Returns the exit
// code.
int run_edge(int control_fd);

}  // namespace saola::proxy
