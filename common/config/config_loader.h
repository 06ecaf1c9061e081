// TOML text, environment and overrides -> Config, or every problem found.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/config/config.h"
#include "common/core/result.h"

namespace saola::config {

// One thing wrong. `where` is "saola.toml:14:9", "SAOLA_APP_WORKERS", "--workers" or empty.
struct Problem {
  std::string where;
  std::string message;  // says what to do: "unknown key 'worker' in [app]; did you mean 'workers'?"
};
std::string to_string(const Problem& problem);

using EnvironmentView = std::vector<std::pair<std::string, std::string>>;

struct LoadInput {
  std::string path;          // shown in messages; directory of relative paths
  std::string text;          // the TOML
  EnvironmentView environment;  // SAOLA_... entries are applied, others ignored
};

// Reads a whole file into LoadInput (environment from environ).
Result<LoadInput> read_config_file(const std::string& path);

// Also checks what concerns several keys (TLS needs a certificate, a route names an app, ...).
Result<Config, std::vector<Problem>> load_config(const LoadInput& input);

// The checks of load_config that need no file: used by drop-in mode on a Config that flags made.
std::vector<Problem> validate(const Config& config);

// Effective configuration as TOML with every key; load_config() reads it back to the same Config.
// Secrets (values of [app.env], keys' passwords) are shown as "***" unless `show_secrets`.
std::string print_config(const Config& config, bool show_secrets);

}  // namespace saola::config
