#include "common/control/instance_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <utility>

namespace saola::control {
namespace {

// A turn is lost only when another instance starts or ends at the same moment.
constexpr int kAttempts = 100;

bool is_at(const UniqueFd& file, const std::string& path) {
  struct stat open {};
  struct stat named {};
  return ::fstat(file.get(), &open) == 0 && ::lstat(path.c_str(), &named) == 0 &&
         open.st_dev == named.st_dev && open.st_ino == named.st_ino;
}

std::string read_pid(const UniqueFd& file) {
  std::array<char, 24> text{};
  const ssize_t got = ::pread(file.get(), text.data(), text.size(), 0);
  std::string pid;
  for (ssize_t i = 0; i < got && text[static_cast<std::size_t>(i)] >= '0' &&
                      text[static_cast<std::size_t>(i)] <= '9';
       ++i) {
    pid += text[static_cast<std::size_t>(i)];
  }
  return pid.empty() ? "unknown pid" : "pid " + pid;
}

// A locked file with our pid under a name of its own.
Result<UniqueFd> make_beside(const std::string& path) {
  ::unlink(path.c_str());  // of an earlier process with our pid
  UniqueFd file(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644));
  if (!file) return Unexpected{system_error("create " + path, errno)};
  const std::string text = std::to_string(::getpid()) + "\n";
  if (::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    const int reason = errno;
    ::unlink(path.c_str());
    return Unexpected{system_error("write " + path, reason)};
  }
  if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
    const int reason = errno;
    ::unlink(path.c_str());
    return Unexpected{system_error("lock " + path, reason)};
  }
  return file;
}

// The file that is there now, locked by us; an invalid descriptor if there is none or it has
// changed.
Result<UniqueFd> lock_present(const std::string& path) {
  UniqueFd file(::open(path.c_str(), O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!file) {
    if (errno == ENOENT) return UniqueFd();
    return Unexpected{system_error("open " + path, errno)};
  }
  if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return Unexpected{system_error("lock " + path, errno)};
    return fail("already running: " + read_pid(file) + " holds " + path, EWOULDBLOCK);
  }
  if (!is_at(file, path)) return UniqueFd();
  return file;
}

}  // namespace

Result<InstanceLock> InstanceLock::acquire(const std::string& path) {
  const std::string beside = path + ".new." + std::to_string(::getpid());
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    auto present = lock_present(path);
    if (!present) return Unexpected{std::move(present).error()};
    auto file = make_beside(beside);
    if (!file) return Unexpected{std::move(file).error()};
    // Holding the lock of the file that is there, nobody else can replace it; if none is there,
    // link(2) succeeds for one of those who try.
    const bool placed = *present ? ::rename(beside.c_str(), path.c_str()) == 0
                                 : ::link(beside.c_str(), path.c_str()) == 0;
    const int reason = errno;
    if (!placed || !*present) ::unlink(beside.c_str());
    if (placed) return InstanceLock(path, *std::move(file));
    if (reason != EEXIST) return Unexpected{system_error("write " + path, reason)};
  }
  return fail("lock " + path + ": other instances start and stop too fast");
}

InstanceLock::InstanceLock(InstanceLock&& other) noexcept
    : path_(std::move(other.path_)), file_(std::move(other.file_)) {}

InstanceLock& InstanceLock::operator=(InstanceLock&& other) noexcept {
  if (this == &other) return *this;
  remove();
  path_ = std::move(other.path_);
  file_ = std::move(other.file_);
  return *this;
}

InstanceLock::~InstanceLock() { remove(); }

bool InstanceLock::is_there() const { return file_ && is_at(file_, path_); }

void InstanceLock::remove() {
  if (is_there()) ::unlink(path_.c_str());
  file_.reset();
}

}  // namespace saola::control
