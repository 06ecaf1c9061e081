// SpoolFile: an unnamed temporary file (O_TMPFILE in spool_dir) that one exchange fills and empties
// in the background. All calls and callbacks in the loop's thread; the writing itself happens in
// the FilePool.
//
// One operation at a time: write() and read() need !busy(). Space is accounted in a SpoolSpace that
// all files share; what a file has taken is given back when it is destroyed. A callback is not
// called any more once the SpoolFile is destroyed.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "common/core/result.h"
#include "common/core/unique_fd.h"
#include "proxy/file_pool.h"

namespace saola::proxy {

// How much all spool files may hold together.
class SpoolSpace {
 public:
  SpoolSpace(std::string directory, std::uint64_t limit_bytes)
      : directory_(std::move(directory)), limit_(limit_bytes) {}
  bool take(std::uint64_t bytes) {
    if (used_ + bytes > limit_) return false;
    used_ += bytes;
    return true;
  }
  void give_back(std::uint64_t bytes) { used_ -= bytes; }
  // For files that are made from now on; what is taken stays taken.
  void configure(std::string directory, std::uint64_t limit_bytes) {
    directory_ = std::move(directory);
    limit_ = limit_bytes;
  }
  std::uint64_t used() const { return used_; }
  const std::string& directory() const { return directory_; }

 private:
  std::string directory_;
  std::uint64_t limit_;
  std::uint64_t used_ = 0;
};

class SpoolFile {
 public:
  SpoolFile(FilePool& pool, SpoolSpace& space);
  ~SpoolFile();
  SpoolFile(const SpoolFile&) = delete;
  SpoolFile& operator=(const SpoolFile&) = delete;

  // Appends `data` (the file is made by the first write). On failure (no space, disk error, pool
  // full) nothing of `data` counts as written and `data` is handed back.
  using WriteDone = std::function<void(Result<void> result, std::string data)>;
  void write(std::string data, WriteDone done);

  // Reads at most `limit` bytes at `offset`, which is below size().
  using ReadDone = std::function<void(Result<std::string> data)>;
  void read(std::uint64_t offset, std::size_t limit, ReadDone done);

  // A new read-only descriptor of the file with an offset of its own. Cheap; size() > 0.
  Result<UniqueFd> open_for_reading() const;

  bool busy() const { return busy_; }
  std::uint64_t size() const { return size_; }  // bytes written

 private:
  struct Shared;  // what a running job needs; outlives *this if it must

  FilePool& pool_;
  SpoolSpace& space_;
  std::shared_ptr<Shared> shared_;
  std::uint64_t size_ = 0;
  std::uint64_t taken_ = 0;
  bool busy_ = false;
};

}  // namespace saola::proxy
