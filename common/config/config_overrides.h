// Settings from outside the file: SAOLA_... variables and dotted keys (apply_override() in
// config_loader.h). Pure.
#pragma once

#include "common/config/config.h"
#include "common/config/config_loader.h"
#include "common/config/problem_list.h"

namespace saola::config {

// Applies every SAOLA_... variable; one that names no key is a problem. Left alone are SAOLA_ROLE,
// which the processes use among themselves, SAOLA_CONFIG, which names the file, and what Kubernetes
// makes of a service's name.
void apply_environment(Config& config, const EnvironmentView& environment, ProblemList& problems);

}  // namespace saola::config
