// Writes a configuration as TOML by walking the schema (print_config() in config_loader.h).
#pragma once

#include <string>

#include "common/config/config.h"

namespace saola::config {

// conf/saola.toml: every key with its default as a comment, and the one line that must be there.
std::string print_default_file();

}  // namespace saola::config
