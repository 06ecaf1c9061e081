#include "common/control/private_directory.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <filesystem>
#include <system_error>

#include "common/config/control_socket_path.h"
#include "common/ipc/unix_socket.h"

namespace saola::control {
namespace {

bool is_alive(long pid) { return ::kill(static_cast<pid_t>(pid), 0) == 0 || errno != ESRCH; }

}  // namespace

Result<void> make_directory(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) == 0 || errno == EEXIST) return {};
  return Unexpected{system_error(path, errno)};
}

Result<void> make_private_directory(const std::string& path) {
  if (auto made = make_directory(path); !made) return made;
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) return Unexpected{system_error(path, errno)};
  if (!S_ISDIR(info.st_mode)) return fail(path + " is no directory", ENOTDIR);
  if (info.st_uid != ::geteuid()) return fail(path + " belongs to another user", EPERM);
  if ((info.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return fail(path + " is writable for others", EPERM);
  }
  if (::access(path.c_str(), W_OK | X_OK) != 0) return Unexpected{system_error(path, errno)};
  return {};
}

void remove_dead_sockets(const std::string& directory) {
  std::error_code failed;  // what cannot be read or removed stays
  for (auto entry = std::filesystem::directory_iterator(directory, failed);
       !failed && entry != std::filesystem::directory_iterator(); entry.increment(failed)) {
    const auto pid = config::control_socket_pid(entry->path().filename().string());
    std::error_code unknown;
    if (!pid || is_alive(*pid) || !entry->is_socket(unknown)) continue;
    // Somebody in another pid namespace may share the directory.
    const auto listener = ipc::connect_unix(entry->path().string());
    if (!listener && listener.error().code == ECONNREFUSED) ::unlink(entry->path().c_str());
  }
}

}  // namespace saola::control
