#include "backend/stack_dump.h"

#include <Python.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "common/core/unique_fd.h"

// Exported by CPython for faulthandler; in a header that only its own sources may include. Writes
// with write(2) alone; returns what went wrong, or null.
// NOLINTNEXTLINE(bugprone-reserved-identifier)
extern "C" const char* _Py_DumpTracebackThreads(int fd, PyInterpreterState* interp,
                                                PyThreadState* current);

namespace saola::backend {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kPatience{2000};
constexpr std::size_t kMostRequests = 50;  // lines of a report

void dump_to(int fd) {
  const char* error = _Py_DumpTracebackThreads(fd, nullptr, nullptr);
  if (error != nullptr && ::write(fd, error, std::strlen(error)) < 0) {
    // Nobody reads: there is nobody to tell.
  }
}

// Async-signal-safe calls only: other threads may have held any lock at the moment of the snapshot.
[[noreturn]] void dump_in_snapshot(int fd) {
  const rlimit no_core{0, 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
  // A fault is expected to be possible; the handlers that would report it are the worker's.
  for (const int fault : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT}) ::signal(fault, SIG_DFL);
  dump_to(fd);
  ::_exit(0);
}

// Appends until end of file, kLongestStacks or the deadline; what is more is thrown away.
void read_all(int fd, std::string& text, Clock::time_point deadline) {
  char block[4096];
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
    pollfd ready{fd, POLLIN, 0};
    if (left.count() <= 0 || ::poll(&ready, 1, static_cast<int>(left.count())) == 0) return;
    const ssize_t got = ::read(fd, block, sizeof block);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return;
    const std::size_t room = kLongestStacks - std::min(text.size(), kLongestStacks);
    text.append(block, std::min(static_cast<std::size_t>(got), room));
  }
}

// False: no snapshot can be made, errno says why.
bool stacks_of_snapshot(std::string& text) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return false;
  const UniqueFd reader(ends[0]);
  UniqueFd writer(ends[1]);
  // fork(2) less its handlers, which are for other threads' locks and may wait for them; and less
  // its SIGCHLD, which the application would see.
  const auto child =
      static_cast<pid_t>(::syscall(SYS_clone, 0, nullptr, nullptr, nullptr, nullptr));
  if (child < 0) return false;
  if (child == 0) dump_in_snapshot(writer.get());
  writer.reset();
  read_all(reader.get(), text, Clock::now() + kPatience);
  ::kill(child, SIGKILL);
  while (::waitpid(child, nullptr, __WALL) < 0 && errno == EINTR) {
  }
  return true;
}

void stacks_of_this_process(std::string& text) {
  const UniqueFd file(::memfd_create("saola-stacks", MFD_CLOEXEC));
  if (!file) return;
  dump_to(file.get());
  text.resize(kLongestStacks);
  const ssize_t got = ::pread(file.get(), text.data(), text.size(), 0);
  text.resize(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
}

double seconds(Clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

}  // namespace

std::string python_stacks(StackRisk risk) {
  std::string text;
  if (!stacks_of_snapshot(text)) {
    const std::string reason = std::strerror(errno);
    if (risk == StackRisk::kAccepted) stacks_of_this_process(text);
    if (text.empty()) return "no stacks: no snapshot of the process can be made: " + reason + "\n";
  }
  if (text.empty()) return "no stacks: Python's threads could not be read\n";
  if (text.size() >= kLongestStacks) text += "\n  [cut]\n";
  return text;
}

std::string stack_report(std::string_view heading, const std::vector<RunningRequest>& requests,
                         std::string_view stacks) {
  std::string text(heading);
  std::size_t count = 0;
  for (const RunningRequest& request : requests) {
    if (++count > kMostRequests) {
      text += fmt::format("\n  and {} more requests", requests.size() - kMostRequests);
      break;
    }
    text += fmt::format(
        "\n  request {}: {}, for {:.1f} s after {:.1f} s in the queue, in thread 0x{:016x}",
        request.request_id, request.line, seconds(request.ran), seconds(request.queue_wait),
        request.thread);
  }
  text += '\n';
  text += stacks;
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

}  // namespace saola::backend
