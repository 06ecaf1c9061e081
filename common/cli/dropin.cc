#include "common/cli/dropin.h"

#include <fmt/format.h>

#include <filesystem>
#include <utility>

#include "common/cli/commands.h"
#include "common/cli/dropin_settings.h"
#include "common/cli/python_text.h"
#include "common/config/shown_text.h"

namespace saola::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kVariable = "GUNICORN_CMD_ARGS";

Result<Arguments> read_variable(const DropinInput& input) {
  const auto words = split_shell_words(find_variable(input.environment, kVariable));
  if (!words) return fail(fmt::format("{}: {}", kVariable, words.error().message));
  return parse_gunicorn_arguments(*words, kVariable);
}

// A setting on the command line replaces the variable's, lists too.
GivenSettings merged(GivenSettings command_line, GivenSettings variable) {
  command_line.merge(variable);
  return command_line;
}

// A Python file may hold settings that restrict: it is never just left out.
void refuse_python_file(DropinSettings& settings, const std::string& directory) {
  constexpr std::string_view kNotRun =
      "a Python configuration file is not run in this version; pass its settings as flags";
  const std::string file = settings.text("config").value_or("");
  std::error_code ignored;  // what cannot be looked at is not there
  if (file.ends_with(".toml")) {
    settings.refuse("config", fmt::format("is for gunicorn's Python file; use saola serve -c {}",
                                          config::shown(file)));
  } else if (!file.empty()) {
    settings.refuse("config", kNotRun);
  } else if (fs::exists(fs::path(directory) / "gunicorn.conf.py", ignored)) {
    settings.refuse_because(
        fmt::format("gunicorn.conf.py: {}, and start elsewhere (--chdir) or rename it", kNotRun));
  }
}

// By the table: what has no effect is said once, what cannot be left out is an error.
void judge(DropinSettings& settings) {
  for (const Setting& setting : gunicorn_settings()) {
    if (!settings.has(setting.name) || setting.name == "config") continue;
    if (setting.support == Support::kIgnored) {
      settings.warn(setting.name, fmt::format("no effect: {}", setting.says));
    } else if (setting.support == Support::kRefused) {
      settings.refuse(setting.name, setting.says);
    }
  }
}

// SAOLA_LIMITS_BODY and its like, by way of the loader that knows their names: over the defaults,
// below the flags.
void apply_saola_variables(DropinSettings& settings, const DropinInput& input,
                           config::Config& config) {
  config::LoadInput load;
  for (const auto& entry : input.environment) {
    const std::string_view name = entry.first;
    if (name.starts_with("SAOLA_") && name != "SAOLA_CONFIG") load.environment.push_back(entry);
  }
  if (load.environment.empty()) return;
  load.text = config::print_config(config, /*show_secrets=*/true);
  auto loaded = config::load_config(load);
  if (!loaded) {
    for (const config::Problem& problem : loaded.error()) {
      settings.refuse_because(config::to_string(problem));
    }
    return;
  }
  loaded->directory = config.directory;
  config = *std::move(loaded);
}

void apply_directory(DropinSettings& settings, const std::string& start, config::Config& config) {
  fs::path path = (fs::path(start) / settings.text("chdir").value_or("")).lexically_normal();
  if (!path.has_filename() && path.has_relative_path()) path = path.parent_path();  // "/a/"
  config.directory = path.string();
  std::error_code ignored;
  if (settings.has("chdir") && !fs::is_directory(path, ignored)) {
    settings.refuse("chdir", fmt::format("{} is not a directory", config::shown(path.string())));
  }
}

}  // namespace

Result<Dropin, DropinErrors> read_dropin(const DropinInput& input) {
  auto command_line = parse_gunicorn_arguments(input.arguments);
  if (!command_line) return Unexpected{DropinErrors{command_line.error().message}};
  Dropin dropin;
  dropin.help = command_line->help;
  dropin.version = command_line->version;
  if (dropin.help || dropin.version) return dropin;
  auto variable = read_variable(input);
  if (!variable) return Unexpected{DropinErrors{variable.error().message}};

  const GivenSettings given =
      merged(std::move(command_line->settings), std::move(variable->settings));
  DropinSettings settings(given, input.environment);
  refuse_python_file(settings, input.directory);
  judge(settings);
  if (command_line->positional.empty() && !settings.has("paste")) {
    settings.refuse_because("no application named; write saola module:attribute (saola help)");
  }
  config::Config& config = dropin.config;
  apply_defaults(settings, config);
  if (!command_line->positional.empty()) {
    config.apps["app"].target = command_line->positional.front();
  }
  apply_directory(settings, input.directory, config);
  if (settings.errors.empty()) apply_saola_variables(settings, input, config);
  apply_listeners(settings, config);
  apply_app(settings, config);
  apply_limits(settings, config);
  apply_logs(settings, config);
  apply_server(settings, config);
  if (!settings.errors.empty()) return Unexpected{std::move(settings.errors)};
  dropin.warnings = std::move(settings.warnings);
  dropin.where = {settings.has("daemon"), settings.has("enable_stdio_inheritance")};
  dropin.check_config = settings.has("check_config");
  dropin.print_config = settings.has("print_config");
  return dropin;
}

}  // namespace saola::cli
