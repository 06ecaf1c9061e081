#include "common/cli/file_options.h"

#include <fmt/format.h>

#include <ostream>
#include <utility>

#include "common/config/shown_text.h"

namespace saola::cli {
namespace {

// Without the variable that names the file: it is no key of it.
config::EnvironmentView settings_in(config::EnvironmentView environment) {
  std::erase_if(environment, [](const auto& entry) { return entry.first == "SAOLA_CONFIG"; });
  return environment;
}

// False after having said why.
bool apply_overrides(const FileOptions& options, config::Config& config, std::ostream& err) {
  std::vector<config::Problem> problems;
  for (const std::string& text : options.overrides) {
    const std::size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0) {
      problems.push_back({"--set", fmt::format("{} is not KEY=VALUE", config::shown(text))});
      continue;
    }
    const std::string_view all = text;
    if (auto bad = config::apply_override(config, all.substr(0, equals), all.substr(equals + 1))) {
      problems.push_back({"--set " + bad->where, std::move(bad->message)});
    }
  }
  if (problems.empty() && !options.overrides.empty()) problems = config::validate(config);
  print_problems(err, problems);
  return problems.empty();
}

}  // namespace

void print_problems(std::ostream& err, const std::vector<config::Problem>& problems) {
  for (const config::Problem& problem : problems) err << config::to_string(problem) << '\n';
}

void print_warnings(std::ostream& err, const config::Config& config) {
  for (const config::Problem& warning : config::warnings(config)) {
    err << "warning: " << config::to_string(warning) << '\n';
  }
}

void warn_of_lost_log(std::ostream& err, const config::Config& config, const Background& where) {
  if (!where.daemon || where.keeps_output || config.log.error != "-") return;
  err << "saola: warning: --daemon: the error log is standard error, which goes nowhere in the "
         "background; name a file\n";
}

std::string config_path(const FileOptions& options, const Invocation& invocation) {
  if (!options.path.empty()) return options.path;
  const std::string_view from_environment = find_variable(invocation.environment, "SAOLA_CONFIG");
  return from_environment.empty() ? "saola.toml" : std::string(from_environment);
}

// The configuration, or nothing after having said on `err` why.
std::optional<config::Config> load(const FileOptions& options, const Invocation& invocation) {
  auto input = config::read_config_file(config_path(options, invocation));
  if (!input) {
    *invocation.err << "saola: " << input.error().message << '\n';
    return std::nullopt;
  }
  input->environment = settings_in(invocation.environment);
  auto config = config::load_config(*input);
  if (!config) {
    print_problems(*invocation.err, config.error());
    return std::nullopt;
  }
  if (!apply_overrides(options, *config, *invocation.err)) return std::nullopt;
  return *std::move(config);
}

}  // namespace saola::cli
