// Paths of a configuration: strings stay in Config as they were written; these make them usable.
#pragma once

#include <string>
#include <string_view>

#include "common/config/config.h"

namespace saola::config {

// `path` seen from the configuration file's directory: an absolute path and an empty one stay as
// they are. "~" means nothing special, symlinks are left to the kernel. "-" is for the caller to
// know.
std::string resolve_path(const Config& config, std::string_view path);

// The absolute directory of `file` ("." for a bare name or none), for Config::directory.
std::string absolute_directory_of(std::string_view file);

}  // namespace saola::config
