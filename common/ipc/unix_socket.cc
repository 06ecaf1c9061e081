#include "common/ipc/unix_socket.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace saola::ipc {
namespace {

// More than commands at once: one that finds it full is refused, while the loop only has not come
// round.
constexpr int kBacklog = 128;

Result<sockaddr_un> address_of(const std::string& path) {
  sockaddr_un address{};
  if (path.size() >= sizeof address.sun_path) {
    return fail(fmt::format("{}: the path has {} bytes; a socket's may have {}", path, path.size(),
                            sizeof address.sun_path - 1),
                ENAMETOOLONG);
  }
  if (path.empty() || path.find('\0') != std::string::npos) {
    return fail("the path of a socket cannot be empty or have a zero byte", EINVAL);
  }
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

// 0, or errno.
int try_connect(int fd, const sockaddr_un& address) {
  int result = 0;
  do {
    result = ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  } while (result != 0 && errno == EINTR);
  return result == 0 ? 0 : errno;
}

// Makes way for a new socket at `path`.
Result<void> clear_stale(const std::string& path, const sockaddr_un& address) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) {
    if (errno == ENOENT) return {};
    return Unexpected{system_error(path, errno)};
  }
  if (!S_ISSOCK(info.st_mode)) {
    return fail(path + ": something that is no socket is there", EEXIST);
  }
  const UniqueFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!probe) return Unexpected{system_error("socket", errno)};
  const int outcome = try_connect(probe.get(), address);
  if (outcome == 0 || outcome == EAGAIN) {
    return fail(path + ": another server listens there", EADDRINUSE);
  }
  if (outcome != ECONNREFUSED && outcome != ENOENT) return Unexpected{system_error(path, outcome)};
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
    return Unexpected{system_error("remove " + path, errno)};
  }
  return {};
}

}  // namespace

Result<UniqueFd> connect_unix(const std::string& path) {
  const auto address = address_of(path);
  if (!address) return Unexpected{address.error()};
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return Unexpected{system_error("socket", errno)};
  if (const int error = try_connect(fd.get(), *address); error != 0) {
    return Unexpected{system_error(path, error)};
  }
  return fd;
}

Result<UniqueFd> listen_unix(const std::string& path, mode_t mode) {
  const auto address = address_of(path);
  if (!address) return Unexpected{address.error()};
  if (auto cleared = clear_stale(path, *address); !cleared) return Unexpected{cleared.error()};
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return Unexpected{system_error("socket", errno)};
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address) != 0) {
    return Unexpected{system_error(path, errno)};
  }
  // Nobody can connect before listen(), so nobody sees another mode than this.
  if (::chmod(path.c_str(), mode) != 0 || ::listen(fd.get(), kBacklog) != 0) {
    const int reason = errno;
    ::unlink(path.c_str());
    return Unexpected{system_error(path, reason)};
  }
  return fd;
}

SocketFile::SocketFile(std::string path) : path_(std::move(path)) {
  struct stat info {};
  if (::lstat(path_.c_str(), &info) != 0) return;
  device_ = info.st_dev;
  inode_ = info.st_ino;
}

SocketFile::SocketFile(SocketFile&& other) noexcept
    : path_(std::exchange(other.path_, {})), device_(other.device_), inode_(other.inode_) {}

SocketFile& SocketFile::operator=(SocketFile&& other) noexcept {
  if (this == &other) return *this;
  remove();
  path_ = std::exchange(other.path_, {});
  device_ = other.device_;
  inode_ = other.inode_;
  return *this;
}

bool SocketFile::is_there() const {
  struct stat info {};
  return !path_.empty() && ::lstat(path_.c_str(), &info) == 0 && info.st_dev == device_ &&
         info.st_ino == inode_;
}

void SocketFile::remove() {
  if (is_there()) ::unlink(path_.c_str());
  path_.clear();
}

}  // namespace saola::ipc
