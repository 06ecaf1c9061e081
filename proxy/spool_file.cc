#include "proxy/spool_file.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>

namespace saola::proxy {

struct SpoolFile::Shared {
  UniqueFd fd;
  std::string directory;
  bool abandoned = false;  // read and written in the loop's thread only
};

namespace {

Result<void> open_temporary(UniqueFd& fd, const std::string& directory) {
  if (fd) return {};
  fd.reset(::open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (fd) return {};
  if (errno != EOPNOTSUPP && errno != EISDIR) {
    return Unexpected{system_error("make a temporary file in " + directory, errno)};
  }
  // A file system without O_TMPFILE (overlayfs of old kernels).
  std::string name = directory + "/saola-spool-XXXXXX";
  fd.reset(::mkostemp(name.data(), O_CLOEXEC));
  if (!fd) return Unexpected{system_error("make a temporary file in " + directory, errno)};
  ::unlink(name.c_str());
  return {};
}

Result<void> write_at(int fd, std::string_view data, std::uint64_t offset) {
  while (!data.empty()) {
    const auto written = ::pwrite(fd, data.data(), data.size(), static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return Unexpected{system_error("write to the spool", errno)};
    data.remove_prefix(static_cast<std::size_t>(written));
    offset += static_cast<std::uint64_t>(written);
  }
  return {};
}

}  // namespace

SpoolFile::SpoolFile(FilePool& pool, SpoolSpace& space)
    : pool_(pool), space_(space), shared_(std::make_shared<Shared>()) {
  shared_->directory = space.directory();
}

SpoolFile::~SpoolFile() {
  shared_->abandoned = true;
  space_.give_back(taken_);
}

void SpoolFile::write(std::string data, WriteDone done) {
  SAOLA_CHECK(!busy_);
  if (!space_.take(data.size())) {
    return done(fail("the spool is full (limits.spool_total)", ENOSPC), std::move(data));
  }
  taken_ += data.size();
  busy_ = true;
  // std::function wants copyable closures, so the data travels in a shared box.
  auto box = std::make_shared<std::string>(std::move(data));
  auto finish = std::make_shared<WriteDone>(std::move(done));
  const bool submitted = pool_.submit([this, shared = shared_, offset = size_, box, finish] {
    auto result = open_temporary(shared->fd, shared->directory);
    if (result) result = write_at(shared->fd.get(), *box, offset);
    return [this, shared, box, finish, result] {
      if (shared->abandoned) return;
      busy_ = false;
      if (result) size_ += box->size();
      (*finish)(result, std::move(*box));
    };
  });
  if (!submitted) {
    busy_ = false;
    (*finish)(fail("too much file work waits", EAGAIN), std::move(*box));
  }
}

void SpoolFile::read(std::uint64_t offset, std::size_t limit, ReadDone done) {
  SAOLA_CHECK(!busy_ && offset < size_);
  busy_ = true;
  // A write that failed half-way has left bytes behind the end.
  limit = std::min<std::uint64_t>(limit, size_ - offset);
  auto finish = std::make_shared<ReadDone>(std::move(done));
  const bool submitted = pool_.submit([this, shared = shared_, offset, limit, finish] {
    auto data = std::make_shared<std::string>(limit, '\0');
    ssize_t got = 0;
    do {
      got = ::pread(shared->fd.get(), data->data(), limit, static_cast<off_t>(offset));
    } while (got < 0 && errno == EINTR);
    const int error = got < 0 ? errno : got == 0 ? EIO : 0;
    if (got > 0) data->resize(static_cast<std::size_t>(got));
    return [this, shared, data, finish, error] {
      if (shared->abandoned) return;
      busy_ = false;
      if (error != 0) return (*finish)(Unexpected{system_error("read from the spool", error)});
      (*finish)(std::move(*data));
    };
  });
  if (!submitted) {
    busy_ = false;
    (*finish)(fail("too much file work waits", EAGAIN));
  }
}

Result<UniqueFd> SpoolFile::open_for_reading() const {
  const std::string path = "/proc/self/fd/" + std::to_string(shared_->fd.get());
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return Unexpected{system_error("reopen a spooled body", errno)};
  return fd;
}

}  // namespace saola::proxy
