#include "common/cli/control_target.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <optional>
#include <sstream>
#include <system_error>

#include "common/cli/file_options.h"
#include "common/cli/terminal_text.h"
#include "common/config/control_socket_path.h"
#include "common/ipc/unix_socket.h"

namespace saola::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kName = "name the server with -c FILE or --socket PATH";

struct Found {
  std::vector<std::string> alive;
  std::vector<std::string> forbidden;
};

Found look_into(const std::vector<std::string>& directories) {
  Found found;
  for (const std::string& directory : directories) {
    std::error_code failed;
    auto entry = fs::directory_iterator(directory, failed);
    if (failed == std::errc::permission_denied) found.forbidden.push_back(directory);
    for (; !failed && entry != fs::directory_iterator(); entry.increment(failed)) {
      std::error_code unknown;
      if (entry->path().extension() != ".sock" || !entry->is_socket(unknown)) continue;
      const std::string path = entry->path().string();
      const auto connection = ipc::connect_unix(path);
      // A full queue is a server too.
      if (connection || connection.error().code == EAGAIN) {
        found.alive.push_back(path);
      } else if (connection.error().code == EACCES) {
        found.forbidden.push_back(path);
      }
    }
  }
  std::sort(found.alive.begin(), found.alive.end());
  return found;
}

Result<std::string> find_only(const std::vector<std::string>& directories) {
  const Found found = look_into(directories);
  if (found.alive.size() == 1) return found.alive.front();
  if (found.alive.size() > 1) {
    std::string message = fmt::format("{} servers run; choose one:", found.alive.size());
    for (const auto& path : found.alive) {
      message += "\n  --socket " + terminal_line(path);
    }
    return fail(std::move(message));
  }
  if (!found.forbidden.empty()) {
    return fail(fmt::format(
        "not allowed to use {}: run this as root or as the user that the server runs as",
        terminal_line(found.forbidden.front())));
  }
  std::string looked;
  for (const auto& directory : directories) {
    looked += (looked.empty() ? "" : " and ") + terminal_line(directory);
  }
  const char* hint = ::geteuid() == 0 ? "" : " (servers of root: use sudo)";
  return fail(fmt::format("no running server found{}{}; {}{}", looked.empty() ? "" : " in ", looked,
                          kName, hint));
}

// The configuration's path; empty: none is named and none is here.
std::string chosen_file(const TargetOptions& options, const Invocation& invocation) {
  if (!options.config.empty()) return options.config;
  const std::string_view variable = find_variable(invocation.environment, "SAOLA_CONFIG");
  if (!variable.empty()) return std::string(variable);
  const fs::path here = fs::path(invocation.directory) / "saola.toml";
  std::error_code unknown;
  return fs::exists(here, unknown) ? here.string() : std::string();
}

}  // namespace

std::vector<std::string> control_directories(const Invocation& invocation) {
  std::vector<std::string> directories;
  const std::string_view xdg = find_variable(invocation.environment, "XDG_RUNTIME_DIR");
  if (::geteuid() == 0) directories.push_back(config::default_control_directory(true, {}));
  if (auto own = config::default_control_directory(false, xdg); !own.empty()) {
    directories.push_back(std::move(own));
  }
  return directories;
}

Result<std::string> find_control_socket(const TargetOptions& options, const Invocation& invocation,
                                        const std::vector<std::string>& directories) {
  if (!options.socket.empty()) return options.socket;
  const std::string file = chosen_file(options, invocation);
  if (file.empty()) return find_only(directories);

  FileOptions file_options;
  file_options.path = file;
  std::ostringstream problems;
  Invocation quiet = invocation;
  quiet.err = &problems;
  const auto config = load(file_options, quiet);
  if (!config) {
    return fail(fmt::format("{}{} does not say which server is meant; use --socket PATH",
                            problems.str(), terminal_line(file)));
  }
  const auto place = config::control_socket_place(
      *config, ::geteuid() == 0, find_variable(invocation.environment, "XDG_RUNTIME_DIR"));
  using Kind = config::ControlSocketPlace::Kind;
  switch (place.kind) {
    case Kind::kOff:
      return fail(
          fmt::format("{} turns the control socket off ([server] control_socket); "
                      "signals still work, see docs/signals.md",
                      terminal_line(file)));
    case Kind::kPath:
    case Kind::kRuntime:
      return place.path;
    case Kind::kDirectory:
      return find_only(directories);
  }
  SAOLA_UNREACHABLE();
}

}  // namespace saola::cli
