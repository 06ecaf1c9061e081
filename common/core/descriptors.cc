#include "common/core/descriptors.h"

#include <dirent.h>
#include <sys/stat.h>

#include "common/core/c_ptr.h"

namespace saola {

std::uint64_t count_open_descriptors() {
  constexpr const char* kPath = "/proc/self/fd";
  struct stat info {};
  if (::stat(kPath, &info) != 0) return 0;
  if (info.st_size > 0) return static_cast<std::uint64_t>(info.st_size);
  const CPtr<DIR, ::closedir> directory(::opendir(kPath));
  if (directory == nullptr) return 0;
  std::uint64_t count = 0;
  while (const dirent* entry = ::readdir(directory.get())) {
    if (entry->d_name[0] != '.') ++count;
  }
  return count - 1;  // the directory's own
}

}  // namespace saola
