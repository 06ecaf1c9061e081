// Runs a function in a forked child: for interpreters, of which a process can have only one.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>

#include "common/core/unique_fd.h"

namespace saola::backend::test {

// A forked child with its standard output and error in one pipe. Ends by itself, or is killed when
// this goes.
class ChildProcess {
 public:
  // `body` runs in the child; what it returns is the exit code.
  explicit ChildProcess(const std::function<int()>& body);
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  pid_t pid() const { return pid_; }
  // Waits for its end. The exit code, or minus the number of the signal that ended it.
  int wait();
  // All it wrote; after wait().
  const std::string& output() const { return output_; }

 private:
  pid_t pid_ = -1;
  UniqueFd output_fd_;
  std::string output_;
  bool waited_ = false;
  int code_ = 0;
};

}  // namespace saola::backend::test
