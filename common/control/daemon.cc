#include "common/control/daemon.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <string_view>
#include <utility>

namespace saola::control {
namespace {

constexpr int kExitFailed = 1;

void write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;  // nobody listens
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

Result<void> redirect(bool keeps_output) {
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!null) return Unexpected{system_error("/dev/null", errno)};
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fd != STDIN_FILENO && keeps_output && ::fcntl(fd, F_GETFD) >= 0 && ::isatty(fd) == 0) {
      continue;
    }
    if (::dup2(null.get(), fd) < 0) return Unexpected{system_error("/dev/null", errno)};
  }
  return {};
}

}  // namespace

Result<Detached> detach(bool keeps_output) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return Unexpected{system_error("pipe", errno)};
  UniqueFd from(ends[0]);
  UniqueFd to(ends[1]);
  std::fflush(nullptr);  // or both would write what waits
  const pid_t child = ::fork();
  if (child < 0) return Unexpected{system_error("fork", errno)};
  if (child > 0) {
    to.reset();
    while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
    }
    return Detached{true, std::move(from)};
  }
  from.reset();
  // The server is no leader of its session, or a terminal that it opens could become the session's.
  ::setsid();
  const pid_t server = ::fork();
  if (server > 0) ::_exit(0);
  if (server < 0) return Unexpected{system_error("fork", errno)};
  if (auto redirected = redirect(keeps_output); !redirected) {
    return Unexpected{std::move(redirected).error()};
  }
  return Detached{false, std::move(to)};
}

int await_server(const UniqueFd& pipe, int output) {
  std::array<char, 4096> block{};
  for (;;) {
    const ssize_t got = ::read(pipe.get(), block.data(), block.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    const std::string_view text(block.data(), static_cast<std::size_t>(got));
    const std::size_t end = text.find('\0');
    write_all(output, text.substr(0, end));
    if (end == std::string_view::npos) continue;
    // The last byte may come by itself.
    if (end + 1 < text.size()) return static_cast<unsigned char>(text[end + 1]);
    unsigned char code = kExitFailed;
    while (::read(pipe.get(), &code, 1) < 0 && errno == EINTR) {
    }
    return code;
  }
  write_all(output, "saola: the server died before it was ready; its error log may say more\n");
  return kExitFailed;
}

void tell_starter(const UniqueFd& pipe, int exit_code) {
  const std::array<char, 2> end{'\0', static_cast<char>(exit_code)};
  write_all(pipe.get(), {end.data(), end.size()});
}

}  // namespace saola::control
