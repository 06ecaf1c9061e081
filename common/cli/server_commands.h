// Commands that speak to a running server (docs/control.md).
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "common/cli/commands.h"

namespace saola::cli {

std::span<const std::string_view> server_commands();
bool is_server_command(std::string_view name);

// Carries it out and returns the exit code: 0 done, 1 failed or refused, 2 bad command line.
int run_server_command(const std::string& name, const Invocation& invocation);

}  // namespace saola::cli
