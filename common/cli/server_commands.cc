#include "common/cli/server_commands.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <optional>
#include <ostream>

#include "common/cli/control_client.h"
#include "common/cli/control_target.h"
#include "common/cli/status_view.h"
#include "common/cli/terminal_text.h"
#include "common/cli/top.h"

namespace saola::cli {
namespace {

using std::chrono::milliseconds;

constexpr std::array<std::string_view, 10> kCommands = {
    "status", "top", "stacks", "reload", "stop", "scale", "drain", "reopen", "recycle", "upgrade"};

// How long an upgraded server may take until it answers again.
constexpr std::chrono::seconds kUpgradePatience{120};

struct Options {
  TargetOptions target;
  bool json = false;
  bool requests = false;
  bool rolling = false;
  bool now = false;
  int workers = 0;
  std::string app;
  std::optional<std::uint32_t> worker;
};

int tell_failure(const Error& error, const std::string& name, const Invocation& invocation) {
  *invocation.err << "saola " << name << ": " << terminal_block(error.message) << '\n';
  return kExitFailed;
}

int status(ControlClient& client, const Options& options, const Invocation& invocation) {
  auto answer = client.ask(ipc::StatusRequest{});
  if (!answer) return tell_failure(answer.error(), "status", invocation);
  std::optional<ipc::EdgeReport> report;
  if (options.requests) {
    auto requests = client.ask(ipc::RequestsRequest{});
    if (!requests) return tell_failure(requests.error(), "status", invocation);
    report = std::move(requests->requests);
  }
  const ipc::Status status = answer->status.value_or(ipc::Status());
  const ipc::EdgeReport* shown = report ? &*report : nullptr;
  if (options.json) {
    *invocation.out << ipc::status_to_json(status, shown) << '\n';
  } else {
    *invocation.out << render_status(status, shown);
  }
  return kExitOk;
}

// The server says that it stops, then its process ends.
int stop(ControlClient& client, const Options& options, const Invocation& invocation) {
  const auto answer = client.ask(ipc::StopRequest{options.now});
  // Whoever stops at once may have no time for an answer.
  if (!answer && answer.error().code != ControlClient::kLost) {
    return tell_failure(answer.error(), "stop", invocation);
  }
  client.wait_for_its_end();
  *invocation.out << "stopped\n";
  return kExitOk;
}

// The new program takes over in the same process and on the same path, without our connection.
int follow_upgrade(ControlClient& client, const std::string& path, const Invocation& invocation) {
  const auto deadline = std::chrono::steady_clock::now() + kUpgradePatience;
  while (std::chrono::steady_clock::now() < deadline) {
    if (!client.is_alive(milliseconds(100))) {
      return tell_failure(Error{"the server has ended; its error log says why", 0}, "upgrade",
                          invocation);
    }
    auto again = ControlClient::connect(path);
    if (!again) continue;
    const auto answer = again->ask(ipc::StatusRequest{});
    if (!answer || !answer->status || !answer->status->ready) continue;
    // The new program has loaded nothing again yet; the old one that came back says why.
    if (const auto& load = answer->status->last_reload; load && !load->succeeded) {
      return tell_failure(Error{load->message, 0}, "upgrade", invocation);
    }
    *invocation.out << fmt::format("saola {} serves (pid {})\n",
                                   terminal_line(answer->status->version), answer->status->pid);
    return kExitOk;
  }
  return tell_failure(
      Error{"the server does not answer after the upgrade; its error log says why", 0}, "upgrade",
      invocation);
}

ipc::ControlRequest request_of(const std::string& name, const Options& options) {
  if (name == "reload") return ipc::ReloadRequest{options.rolling};
  if (name == "scale") return ipc::ScaleRequest{options.app, options.workers};
  if (name == "drain") return ipc::DrainRequest{};
  if (name == "reopen") return ipc::ReopenRequest{};
  if (name == "stacks") return ipc::StacksRequest{options.worker};
  if (name == "recycle") return ipc::RecycleRequest{options.worker.value_or(0)};
  SAOLA_CHECK(name == "upgrade");
  return ipc::UpgradeRequest{};
}

// Waits as long as it takes: a reload ends within the boot time-outs of its workers.
int ask_and_print(ControlClient& client, const std::string& name, const std::string& path,
                  const Options& options, const Invocation& invocation) {
  const auto answer = client.ask(request_of(name, options), std::nullopt);
  if (!answer && answer.error().code == ControlClient::kLost && name == "upgrade") {
    return follow_upgrade(client, path, invocation);
  }
  if (!answer) return tell_failure(answer.error(), name, invocation);
  if (!answer->message.empty()) *invocation.out << terminal_block(answer->message) << '\n';
  return kExitOk;
}

void add_options(CLI::App& command, const std::string& name, Options& options) {
  command.add_option("-c,--config", options.target.config, "the server's configuration file")
      ->type_name("FILE");
  command.add_option("--socket", options.target.socket, "the server's control socket")
      ->type_name("PATH");
  if (name == "status") {
    command.add_flag("--json", options.json, "everything, as one line of JSON");
    command.add_flag("--requests", options.requests, "also what runs at this moment");
  } else if (name == "reload") {
    command.add_flag("--rolling", options.rolling,
                     "one worker at a time: takes longer and needs less memory");
  } else if (name == "stop") {
    command.add_flag("--now", options.now, "at once: requests that run are cut off");
  } else if (name == "scale") {
    command.add_option("workers", options.workers, "how many workers")
        ->required()
        ->check(CLI::Range(1, 1024));
    command.add_option("--app", options.app, "of which application, if there are several")
        ->type_name("NAME");
  } else if (name == "stacks" || name == "recycle") {
    auto* worker = command.add_option("worker", options.worker, "number of the worker (status)");
    worker->type_name("WORKER");
    if (name == "recycle") worker->required();
  }
}

}  // namespace

std::span<const std::string_view> server_commands() { return kCommands; }

bool is_server_command(std::string_view name) {
  return std::find(kCommands.begin(), kCommands.end(), name) != kCommands.end();
}

int run_server_command(const std::string& name, const Invocation& invocation) {
  CLI::App command("", "saola " + name);
  Options options;
  add_options(command, name, options);
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
  const auto path =
      find_control_socket(options.target, invocation, control_directories(invocation));
  if (!path) return tell_failure(path.error(), name, invocation);
  auto client = ControlClient::connect(*path);
  if (!client) return tell_failure(client.error(), name, invocation);
  if (name == "status") return status(*client, options, invocation);
  if (name == "stop") return stop(*client, options, invocation);
  if (name == "top") {
    const auto shown = run_top(*client, invocation);
    return shown ? kExitOk : tell_failure(shown.error(), name, invocation);
  }
  return ask_and_print(*client, name, *path, options, invocation);
}

}  // namespace saola::cli
