// What `saola check` finds beyond the text of the configuration.
#pragma once

#include <vector>

#include "common/cli/commands.h"
#include "common/config/config.h"
#include "common/config/config_loader.h"

namespace saola::cli {

// Certificates and keys, and the format of the access log if there is one. All problems at once.
std::vector<config::Problem> check_files(const config::Config& config, const Actions& actions);

}  // namespace saola::cli
