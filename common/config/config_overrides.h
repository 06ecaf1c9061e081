// Settings from outside the file: SAOLA_... variables and dotted keys (apply_override() in
// config_loader.h). Pure.
#pragma once

#include "common/config/config.h"
#include "common/config/config_loader.h"
#include "common/config/problem_list.h"

namespace saola::config {

// Applies every SAOLA_... variable except SAOLA_ROLE, which the processes use among themselves; one
// that names no key is a problem.
void apply_environment(Config& config, const EnvironmentView& environment, ProblemList& problems);

}  // namespace saola::config
