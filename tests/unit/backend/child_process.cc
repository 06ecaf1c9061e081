#include "child_process.h"

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>

#include "common/core/check.h"

namespace saola::backend::test {

ChildProcess::ChildProcess(const std::function<int()>& body) {
  std::array<int, 2> pipe{};
  SAOLA_CHECK(::pipe(pipe.data()) == 0);
  std::fflush(nullptr);
  pid_ = ::fork();
  SAOLA_CHECK(pid_ >= 0);
  if (pid_ == 0) {
    ::dup2(pipe[1], STDOUT_FILENO);
    ::dup2(pipe[1], STDERR_FILENO);
    ::close(pipe[0]);
    ::close(pipe[1]);
    const int code = body();
    std::fflush(nullptr);
    ::_exit(code);
  }
  ::close(pipe[1]);
  output_fd_.reset(pipe[0]);
}

ChildProcess::~ChildProcess() {
  if (waited_) return;
  ::kill(pid_, SIGKILL);
  wait();
}

int ChildProcess::wait() {
  if (waited_) return code_;
  std::array<char, 4096> buffer;
  for (;;) {
    const ssize_t got = ::read(output_fd_.get(), buffer.data(), buffer.size());
    if (got > 0) {
      output_.append(buffer.data(), static_cast<std::size_t>(got));
    } else if (got == 0 || errno != EINTR) {
      break;
    }
  }
  int status = 0;
  SAOLA_CHECK(::waitpid(pid_, &status, 0) == pid_);
  waited_ = true;
  code_ = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  return code_;
}

}  // namespace saola::backend::test
