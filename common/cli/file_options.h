// The options of commands that read a configuration file, and the file itself.
#pragma once

#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

#include "common/cli/commands.h"

namespace saola::cli {

struct FileOptions {
  std::string path;
  std::vector<std::string> overrides;  // "key=value"
  bool import = false;
  bool daemon = false;
};

void print_problems(std::ostream& err, const std::vector<config::Problem>& problems);
void print_warnings(std::ostream& err, const config::Config& config);
// What is about to be lost in the background.
void warn_of_lost_log(std::ostream& err, const config::Config& config, const Background& where);

// -c, else SAOLA_CONFIG, else saola.toml.
std::string config_path(const FileOptions& options, const Invocation& invocation);

// The configuration, or nothing after having said on `err` why.
std::optional<config::Config> load(const FileOptions& options, const Invocation& invocation);

}  // namespace saola::cli
