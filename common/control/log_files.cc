#include "common/control/log_files.h"

#include <fcntl.h>

#include <cerrno>
#include <utility>

#include "common/config/log_plan.h"
#include "common/config/paths.h"

namespace saola::control {
namespace {

Result<UniqueFd> open_log(const config::Config& config, const std::string& where, const char* what,
                          int standard_fd) {
  if (where == "-") {
    UniqueFd copy(::fcntl(standard_fd, F_DUPFD_CLOEXEC, 3));
    if (!copy) return Unexpected{system_error(std::string(what) + " \"-\"", errno)};
    return copy;
  }
  // The log goes elsewhere alone; whoever holds the descriptor need not know.
  const std::string path = where.empty() ? "/dev/null" : config::resolve_path(config, where);
  UniqueFd file(::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640));
  if (!file) return Unexpected{system_error(std::string(what) + " " + path, errno)};
  return file;
}

}  // namespace

Result<LogFiles> open_log_files(const config::Config& config) {
  LogFiles files;
  auto error = open_log(config, config.log.error, "[log] error", STDERR_FILENO);
  if (!error) return Unexpected{std::move(error).error()};
  files.error = *std::move(error);
  if (!config::has_access_log(config.log)) return files;
  auto access = open_log(config, config.log.access, "[log] access", STDOUT_FILENO);
  if (!access) return Unexpected{std::move(access).error()};
  files.access = *std::move(access);
  return files;
}

}  // namespace saola::control
