#include "common/cli/commands.h"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <ostream>
#include <sstream>
#include <utility>

#include "common/cli/checks.h"
#include "common/cli/dropin_command.h"
#include "common/cli/file_options.h"
#include "common/cli/server_commands.h"
#include "common/config/shown_text.h"
#include "common/config/suggestion.h"

namespace saola::cli {
namespace {

constexpr std::array<std::string_view, 5> kCommands = {"serve", "check", "config", "version",
                                                       "help"};

constexpr std::string_view kUsage =
    R"(Saola serves Python web applications: TLS, HTTP and workers in one program.

  saola serve [-c FILE] [--set KEY=VALUE]...   run in the foreground; --daemon: in the background
  saola check [-c FILE] [--import]             validate the configuration, certificates and, if asked, the app
  saola config [-c FILE]                       print the effective configuration, secrets hidden
  saola version
  saola help

  saola status [--json] [--requests]           what a running server does
  saola top                                    the same, live
  saola reload [--rolling]                     a new generation of workers, with the configuration as it is now
  saola stop [--now]                           and wait until it has stopped
  saola scale N [--app NAME]                   so many workers
  saola recycle WORKER                         replace one worker
  saola drain                                  no longer ready, for load balancers
  saola reopen                                 open the logs anew
  saola stacks [WORKER]                        what the workers' Python threads do, to the error log
  saola upgrade                                go on with the program that is installed now
                                               (these find the server by -c FILE or --socket PATH)

  saola MODULE:APP [gunicorn's options]        no file: drop-in mode, also reads GUNICORN_CMD_ARGS
                                               (saola MODULE:APP --help lists the options)

FILE is saola.toml unless -c or SAOLA_CONFIG names another.
)";

template <std::size_t N>
bool contains(const std::array<std::string_view, N>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// "--workers 3" is "--set app.workers=3"; where these apply is the same as for --set.
void add_file_options(CLI::App& command, FileOptions& options) {
  command.add_option("-c,--config", options.path, "configuration file")->type_name("FILE");
  command.add_option("--set", options.overrides, "override one key of the file")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  command.add_option_function<std::string>(
      "--workers",
      [&options](const std::string& count) { options.overrides.push_back("app.workers=" + count); },
      "same as --set app.workers=N");
}

int serve(const FileOptions& options, const Invocation& invocation, const Actions& actions) {
  std::optional<config::Config> config;
  if (actions.resume) {
    auto served = actions.resume();
    if (served) {
      config = *std::move(served);
    } else {
      *invocation.err << "saola: " << served.error().message << '\n';
    }
  } else {
    config = load(options, invocation);
    if (config) print_warnings(*invocation.err, *config);
  }
  if (!config) return kExitConfiguration;
  const Background where{options.daemon, false};
  if (!actions.resume) warn_of_lost_log(*invocation.err, *config, where);
  const LoadAgain again = [&options, &invocation]() -> Result<config::Config> {
    std::ostringstream problems;
    Invocation quiet = invocation;
    quiet.err = &problems;
    auto loaded = load(options, quiet);
    if (!loaded) return fail(problems.str());
    return *std::move(loaded);
  };
  return actions.serve(*config, again, where);
}

int check(const FileOptions& options, const Invocation& invocation, const Actions& actions) {
  const auto config = load(options, invocation);
  if (!config) return kExitConfiguration;
  print_warnings(*invocation.err, *config);
  const auto problems = check_files(*config, actions);
  print_problems(*invocation.err, problems);
  if (!problems.empty()) return kExitConfiguration;
  if (options.import) {
    const int imported = actions.import_app(*config);
    if (imported != kExitOk) return imported;
  }
  *invocation.out << config_path(options, invocation) << ": ok\n";
  return kExitOk;
}

int print_effective(const FileOptions& options, const Invocation& invocation) {
  const auto config = load(options, invocation);
  if (!config) return kExitConfiguration;
  *invocation.out << config::print_config(*config, /*show_secrets=*/false);
  return kExitOk;
}

int run_file_command(const std::string& name, const Invocation& invocation,
                     const Actions& actions) {
  CLI::App command("", "saola " + name);
  FileOptions options;
  add_file_options(command, options);
  if (name == "serve") {
    command.add_flag("-D,--daemon", options.daemon,
                     "in the background: the command ends when the server is ready");
  }
  if (name == "check") command.add_flag("--import", options.import, "also load the application");
  // CLI11 throws; this is the border.
  try {
    command.parse(
        std::vector<std::string>(invocation.arguments.rbegin(), invocation.arguments.rend() - 1));
  } catch (const CLI::CallForHelp&) {
    *invocation.out << command.help();
    return kExitOk;
  } catch (const CLI::ParseError& error) {
    *invocation.err << fmt::format("saola {}: {} (saola {} --help)\n", name, error.what(), name);
    return kExitUsage;
  }
  if (name == "serve") return serve(options, invocation, actions);
  if (name == "check") return check(options, invocation, actions);
  return print_effective(options, invocation);
}

// A bare word is gunicorn's "module" (module:application), unless it looks like a command misspelt.
std::string meant_command(std::string_view word) {
  if (word.find_first_of(":./-") != std::string_view::npos) return {};
  std::vector<std::string> names(kCommands.begin(), kCommands.end());
  for (const std::string_view name : server_commands()) names.emplace_back(name);
  return std::string(config::nearest_name(word, names));
}

bool is_module_here(const Invocation& invocation, const std::string& word) {
  const auto base = std::filesystem::path(invocation.directory) / word;
  std::error_code ignored;  // what cannot be looked at is not there
  return std::filesystem::is_directory(base, ignored) ||
         std::filesystem::exists(base.string() + ".py", ignored);
}

}  // namespace

std::string_view find_variable(const config::EnvironmentView& environment, std::string_view name) {
  for (const auto& [key, value] : environment) {
    if (key == name) return value;
  }
  return {};
}

Invocation Invocation::from_process(int argc, char** argv, std::ostream& out, std::ostream& err) {
  Invocation invocation;
  for (int i = 1; i < argc; ++i) invocation.arguments.emplace_back(argv[i]);
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const std::size_t equals = text.find('=');
    if (equals == std::string_view::npos) continue;
    invocation.environment.emplace_back(text.substr(0, equals), text.substr(equals + 1));
  }
  std::error_code failed;
  invocation.directory = std::filesystem::current_path(failed).string();
  if (failed) invocation.directory = ".";
  invocation.out = &out;
  invocation.err = &err;
  invocation.is_terminal = ::isatty(STDIN_FILENO) == 1 && ::isatty(STDOUT_FILENO) == 1;
  return invocation;
}

int run_command_line(const Invocation& invocation, const Actions& actions) {
  std::ostream& out = *invocation.out;
  std::ostream& err = *invocation.err;
  const std::string first = invocation.arguments.empty() ? "" : invocation.arguments.front();
  const bool has_gunicorn_args =
      !find_variable(invocation.environment, "GUNICORN_CMD_ARGS").empty();
  if (invocation.arguments.empty() && !has_gunicorn_args) {
    err << kUsage;
    return kExitUsage;
  }
  if (first == "help" || first == "-h" || first == "--help") {
    out << kUsage;
    return kExitOk;
  }
  if (first == "version" || first == "-v" || first == "--version") {
    out << "saola " SAOLA_VERSION "\n";
    return kExitOk;
  }
  if (is_server_command(first)) return run_server_command(first, invocation);
  if (contains(kCommands, first)) return run_file_command(first, invocation, actions);
  if (const auto meant = meant_command(first);
      !meant.empty() && !is_module_here(invocation, first)) {
    err << fmt::format("saola: unknown command '{}'; did you mean '{}'? (saola help)\n", first,
                       meant);
    return kExitUsage;
  }
  return run_dropin(invocation, actions);
}

}  // namespace saola::cli
