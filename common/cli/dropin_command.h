// Drop-in mode from start to end: gunicorn's command line in, a served app out.
#pragma once

#include "common/cli/commands.h"

namespace saola::cli {

// Prints warnings and errors to invocation.err; --help, --version and --print-config to
// invocation.out. Exit codes: kExitUsage for flags that are unknown, malformed or not supported,
// kExitConfiguration for values that do not fit together, with --check-config 1 for what gunicorn
// answers with 1; else what actions.serve says.
int run_dropin(const Invocation& invocation, const Actions& actions);

}  // namespace saola::cli
