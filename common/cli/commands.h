// The command line (docs/gunicorn.md for drop-in mode): which command it is, its options, its
// output and exit code.
//
//   saola serve|check|config|version|help ...     a configuration file
//   saola status|top|reload|stop|...               speaks to a running server (server_commands.h)
//   saola module:attribute -b ... -w ...          drop-in mode: gunicorn's flags, no file
//
// What a command needs from the edge, the workers or the control plane comes in as Actions, so that
// this folder knows none of them. Nothing here keeps state; one call, one command.
#pragma once

#include <functional>
#include <iosfwd>
#include <string>
#include <string_view>
#include <vector>

#include "common/config/config.h"
#include "common/config/config_loader.h"
#include "common/core/result.h"

namespace saola::cli {

// Exit codes (docs/signals.md).
inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;         // failed while running
inline constexpr int kExitUsage = 2;          // bad command line
inline constexpr int kExitApplication = 3;    // the app could not be loaded
inline constexpr int kExitConfiguration = 4;  // bad configuration

// Reads the configuration anew from where it came from, for a reload; an error has everything that
// is wrong, one problem per line.
using LoadAgain = std::function<Result<config::Config>()>;

// Where a server runs.
struct Background {
  bool daemon = false;        // behind the command, which ends when the server is ready
  bool keeps_output = false;  // its standard output and error, if they are no terminals
};

// What main() brings from the other sides.
struct Actions {
  // Set when this process goes on with a service after an upgrade that failed: the configuration
  // that it serves with, whatever the file and the flags say now.
  std::function<Result<config::Config>()> resume;
  // Runs until stopped; returns the exit code. With a daemon it returns in two processes.
  std::function<int(const config::Config&, const LoadAgain& load, const Background& where)> serve;
  // Loads the apps as a worker would and prints what is wrong; kExitOk or kExitApplication.
  std::function<int(const config::Config&)> import_app;
  // What is wrong with the certificates and keys of the TLS listeners: files that cannot be read,
  // keys that do not fit.
  std::function<std::vector<std::string>(const config::Config&)> check_certificates;
  // Whether log.access_format can be understood.
  std::function<Result<void>(std::string_view format)> check_access_format;
};

struct Invocation {
  std::vector<std::string> arguments;   // without the program's name
  config::EnvironmentView environment;  // of the process
  std::string directory;                // where it was started, absolute
  std::ostream* out = nullptr;
  std::ostream* err = nullptr;
  bool is_terminal = false;  // standard input and output are, and `out` is the latter

  static Invocation from_process(int argc, char** argv, std::ostream& out, std::ostream& err);
};

// The value of an environment variable; empty if it is not set.
std::string_view find_variable(const config::EnvironmentView& environment, std::string_view name);

// Carries out what the command line asks for and returns the process's exit code.
int run_command_line(const Invocation& invocation, const Actions& actions);

}  // namespace saola::cli
