// `saola top`: the status, again every second, until q or Ctrl-C.
#pragma once

#include "common/cli/commands.h"
#include "common/cli/control_client.h"

namespace saola::cli {

// On a terminal until the user ends it (success) or the server has gone (an error); elsewhere one
// printout. The terminal is left as it was found.
Result<void> run_top(ControlClient& client, const Invocation& invocation);

}  // namespace saola::cli
