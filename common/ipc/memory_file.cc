#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>

#include "common/ipc/control_message.h"

namespace saola::ipc {
namespace {

// A start file holds a configuration and its certificates; more than this is not ours.
constexpr off_t kMaxMemoryFile = off_t{64} * 1024 * 1024;

}  // namespace

Result<UniqueFd> make_memory_file(std::string_view text) {
  UniqueFd file(::memfd_create("saola-start", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!file) return Unexpected{system_error("memfd_create", errno)};
  std::size_t done = 0;
  while (done < text.size()) {
    const ssize_t wrote =
        ::pwrite(file.get(), text.data() + done, text.size() - done, static_cast<off_t>(done));
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) return Unexpected{system_error("write a memory file", errno)};
    done += static_cast<std::size_t>(wrote);
  }
  if (::fcntl(file.get(), F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_WRITE | F_SEAL_SEAL) !=
      0) {
    return Unexpected{system_error("seal a memory file", errno)};
  }
  return file;
}

Result<std::string> read_memory_file(const UniqueFd& file) {
  struct stat info {};
  if (::fstat(file.get(), &info) != 0) return Unexpected{system_error("fstat", errno)};
  if (info.st_size > kMaxMemoryFile) return fail("memory file is too large");
  std::string text(static_cast<std::size_t>(info.st_size), '\0');
  std::size_t done = 0;
  while (done < text.size()) {
    // pread: sender and receiver share one file offset.
    const ssize_t got =
        ::pread(file.get(), text.data() + done, text.size() - done, static_cast<off_t>(done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Unexpected{system_error("read a memory file", errno)};
    if (got == 0) return fail("memory file is shorter than it says");
    done += static_cast<std::size_t>(got);
  }
  return text;
}

}  // namespace saola::ipc
