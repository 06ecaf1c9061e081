// What `saola check` finds beyond the text of the configuration: files that must be readable and
// fit together.
#pragma once

#include <vector>

#include "common/cli/commands.h"
#include "common/config/config.h"
#include "common/config/config_loader.h"

namespace saola::cli {

// Reads the certificates and keys of every TLS listener (relative to config.directory) and asks
// actions.check_tls about each listener; asks actions.check_access_format if there is an access
// log. All problems at once.
std::vector<config::Problem> check_files(const config::Config& config, const Actions& actions);

// The configuration with the apps' own paths made absolute, for Actions::import_app.
config::Config with_absolute_paths(config::Config config);

}  // namespace saola::cli
