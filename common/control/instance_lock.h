// InstanceLock: a pid file that only one running instance can hold.
//
// The lock is flock(2) on the file that the path names, so it ends with its process, kill -9
// included, and a file left behind is taken over. The content is always a whole pid and a
// newline: a new file is written beside it and put in its place. Removed at the end, if it is still
// ours.
#pragma once

#include <string>
#include <utility>

#include "common/core/result.h"
#include "common/core/unique_fd.h"

namespace saola::control {

class InstanceLock {
 public:
  // Error code EWOULDBLOCK: another instance holds it; the message names its pid. Any other: the
  // file could not be made.
  static Result<InstanceLock> acquire(const std::string& path);

  // A lock that an earlier image of this process acquired.
  static InstanceLock adopt(std::string path, UniqueFd file) {
    return InstanceLock(std::move(path), std::move(file));
  }

  InstanceLock(InstanceLock&& other) noexcept;
  InstanceLock& operator=(InstanceLock&& other) noexcept;
  ~InstanceLock();

  const std::string& path() const { return path_; }
  int fd() const { return file_.get(); }
  // False: the file has been removed or replaced.
  bool is_there() const;

 private:
  InstanceLock(std::string path, UniqueFd file) : path_(std::move(path)), file_(std::move(file)) {}
  void remove();

  std::string path_;
  UniqueFd file_;
};

}  // namespace saola::control
