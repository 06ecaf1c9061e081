// A server in the background (--daemon): the process that was started stays until the server is
// ready, or has ended, and says how it went; the server runs on in a session of its own.
//
//   starter --fork--> child (setsid) --fork--> server
//      ^                exits at once             |
//      \____________ pipe: text, 0, exit code ____/
#pragma once

#include "common/core/result.h"
#include "common/core/unique_fd.h"

namespace saola::control {

struct Detached {
  bool is_starter = false;
  UniqueFd pipe;  // the starter's end to read from, or the server's to write to
};

// Forks; returns in both processes. The server's standard input, output and error are /dev/null;
// `keeps_output`: output and error stay if they are no terminals. Call while there is one thread
// and nothing is open that only one of them should have.
Result<Detached> detach(bool keeps_output);

// In the starter: writes to `output` what the server says, until it has said how its start ended.
// Returns the exit code; 1, with a line that says so, if the server died instead.
int await_server(const UniqueFd& pipe, int output);

// In the server: the last word. A starter that has gone is no error.
void tell_starter(const UniqueFd& pipe, int exit_code);

}  // namespace saola::control
