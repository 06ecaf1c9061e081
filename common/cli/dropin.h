// Drop-in mode: what gunicorn would be told -> Config. Reads no file but looks whether some exist.
//
// Lowest to highest: gunicorn's defaults (where docs/gunicorn.md says no other), the environment
// variables that gunicorn reads (PORT, WEB_CONCURRENCY, FORWARDED_ALLOW_IPS), GUNICORN_CMD_ARGS,
// the command line.
#pragma once

#include <string>
#include <vector>

#include "common/cli/commands.h"
#include "common/cli/gunicorn_arguments.h"
#include "common/config/config.h"
#include "common/config/config_loader.h"
#include "common/core/result.h"

namespace saola::cli {

struct DropinInput {
  std::vector<std::string> arguments;
  config::EnvironmentView environment;
  std::string directory;  // where the process was started, absolute
};

struct Dropin {
  config::Config config;
  std::vector<std::string> warnings;  // one for each setting that has no or another effect
  Background where;
  bool check_config = false;
  bool print_config = false;
  // --help and --version: nothing else was looked at.
  bool help = false;
  bool version = false;
};

// Every reason at once, except that a word that cannot be understood stops the reading.
using DropinErrors = std::vector<std::string>;

Result<Dropin, DropinErrors> read_dropin(const DropinInput& input);

}  // namespace saola::cli
