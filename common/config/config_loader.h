// TOML text, environment and overrides -> Config, or every problem found.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/config/config.h"
#include "common/core/result.h"

namespace saola::config {

// One thing wrong. `where` is "saola.toml:14:9", "SAOLA_APP_WORKERS", "--workers", a dotted key
// ("listen.0.tls") where only a Config is known, or empty.
struct Problem {
  std::string where;
  std::string message;  // says what to do: "unknown key 'worker' in [app]; did you mean 'workers'?"
};
std::string to_string(const Problem& problem);

using EnvironmentView = std::vector<std::pair<std::string, std::string>>;

struct LoadInput {
  std::string path;             // shown in messages; directory of relative paths
  std::string text;             // the TOML
  EnvironmentView environment;  // SAOLA_... entries are applied, others ignored; SAOLA_ROLE too
};

// Reads a whole file into LoadInput (environment from environ).
Result<LoadInput> read_config_file(const std::string& path);

// The file, then the environment: SAOLA_ and the dotted key in capitals, SAOLA_LIMITS_BODY,
// SAOLA_APP_ENV_NAME, SAOLA_LISTEN_0_ADDRESS (the next free number adds one), SAOLA_APPS_NAME_KEY
// with a name that the file has. Without any [[listen]] there is one with the default address.
// Also checks what concerns several keys (TLS needs a certificate, a route names an app, ...).
Result<Config, std::vector<Problem>> load_config(const LoadInput& input);

// One setting over the file and the environment: "app.workers", "listen.0.tls.key",
// "apps.web.target" (makes the app), "app.env.NAME". "app." is the only application, whatever its
// name. Lists are separated by commas. The problem's `where` is `dotted_key`; then nothing has
// changed. Call validate() after the last one.
std::optional<Problem> apply_override(Config& config, std::string_view dotted_key,
                                      std::string_view value);

// The checks of load_config that need no file: used by drop-in mode on a Config that flags made.
std::vector<Problem> validate(const Config& config);

// What is accepted but has no effect, or probably not the one that is meant. Never stops a start.
std::vector<Problem> warnings(const Config& config);

// Effective configuration as TOML with every key; load_config() reads it back to the same Config.
// Secrets (values of [app.env], keys' passwords) are shown as "***" unless `show_secrets`.
std::string print_config(const Config& config, bool show_secrets);

}  // namespace saola::config
