// The admin process: metrics, health and status on an address of their own.
#pragma once

namespace saola::proxy {

// Takes the control channel's descriptor, runs until the supervisor says so or is gone. Returns the
// exit code.
int run_admin(int control_fd);

}  // namespace saola::proxy
