#include "common/cli/control_client.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "common/ipc/unix_socket.h"

namespace saola::cli {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

static_assert(ControlClient::kLost == ECONNRESET);

constexpr milliseconds kRetry{100};

// Waits for `events`; false when `deadline` has passed. An error shows in the next call.
bool wait_for(int fd, short events, std::optional<Clock::time_point> deadline) {
  for (;;) {
    int limit = -1;
    if (deadline) {
      const auto left = std::chrono::ceil<milliseconds>(*deadline - Clock::now()).count();
      limit = static_cast<int>(std::clamp<std::int64_t>(left, 0, 3'600'000));
    }
    pollfd state{fd, events, 0};
    const int ready = ::poll(&state, 1, limit);
    if (ready > 0) return true;
    if (ready == 0) return false;
    if (errno != EINTR) return true;
  }
}

std::string advice(const std::string& path, const Error& error) {
  switch (error.code) {
    case ENOENT:
      return fmt::format("there is no server: {} does not exist", path);
    case ECONNREFUSED:
      return fmt::format("there is no server: nobody listens on {} any more", path);
    case EACCES:
    case EPERM:
      return fmt::format(
          "not allowed to use {}: run this as root or as the user that the server runs as", path);
    case EAGAIN:
      return fmt::format("the server does not look at {}: too many commands wait there already",
                         path);
    default:
      return error.message;
  }
}

}  // namespace

Result<ControlClient> ControlClient::connect(const std::string& path) {
  auto socket = ipc::connect_unix(path);
  if (!socket) return fail(advice(path, socket.error()), socket.error().code);
  ucred peer{};
  socklen_t length = sizeof peer;
  if (::getsockopt(socket->get(), SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) peer.pid = 0;
  UniqueFd process;
  if (peer.pid > 0) process.reset(static_cast<int>(::syscall(SYS_pidfd_open, peer.pid, 0)));
  return ControlClient(path, *std::move(socket), peer.pid, std::move(process));
}

Result<void> ControlClient::send(std::string_view line) {
  while (!line.empty()) {
    const auto sent = ::send(socket_.get(), line.data(), line.size(), MSG_NOSIGNAL);
    if (sent >= 0) {
      line.remove_prefix(static_cast<std::size_t>(sent));
    } else if (errno == EAGAIN) {
      if (!wait_for(socket_.get(), POLLOUT, Clock::now() + kPatience)) {
        return fail("the server does not read what it is asked", ETIMEDOUT);
      }
    } else if (errno == EPIPE || errno == ECONNRESET) {
      return {};  // it may have said why before it closed
    } else if (errno != EINTR) {
      return Unexpected{system_error(path_, errno)};
    }
  }
  return {};
}

Result<ipc::ControlAnswer> ControlClient::ask(const ipc::ControlRequest& request,
                                              std::optional<milliseconds> patience) {
  if (auto sent = send(ipc::to_line(request) + '\n'); !sent) return Unexpected{sent.error()};
  const auto deadline = patience ? std::optional(Clock::now() + *patience) : std::nullopt;
  std::array<char, 16 * 1024> space;
  for (;;) {
    if (const std::size_t end = input_.find('\n'); end != std::string::npos) {
      auto answer = ipc::parse_control_answer(std::string_view(input_).substr(0, end));
      input_.erase(0, end + 1);
      if (!answer) return Unexpected{answer.error()};
      return *std::move(answer);
    }
    if (input_.size() > kMaxAnswer) return fail("the server's answer does not end");
    if (!wait_for(socket_.get(), POLLIN, deadline)) {
      return fail(fmt::format("the server (pid {}) does not answer", pid_), ETIMEDOUT);
    }
    const auto got = ::recv(socket_.get(), space.data(), space.size(), 0);
    if (got > 0) {
      input_.append(space.data(), static_cast<std::size_t>(got));
    } else if (got == 0 || errno == ECONNRESET) {
      return fail("the server ended the connection", kLost);
    } else if (errno != EINTR && errno != EAGAIN) {
      return Unexpected{system_error(path_, errno)};
    }
  }
}

void ControlClient::wait_for_its_end() {
  if (process_) {
    wait_for(process_.get(), POLLIN, std::nullopt);
    return;
  }
  // The end of the connection may be that of the server, or of the server's patience with us.
  std::array<char, 256> ignored;
  for (;;) {
    wait_for(socket_.get(), POLLIN, std::nullopt);
    const auto got = ::recv(socket_.get(), ignored.data(), ignored.size(), 0);
    if (got > 0 || (got < 0 && (errno == EINTR || errno == EAGAIN))) continue;
    auto again = ipc::connect_unix(path_);
    if (!again) return;
    socket_ = *std::move(again);
  }
}

bool ControlClient::is_alive(milliseconds limit) {
  if (process_) return !wait_for(process_.get(), POLLIN, Clock::now() + std::min(limit, kRetry));
  ::poll(nullptr, 0, static_cast<int>(std::min(limit, kRetry).count()));
  return true;
}

}  // namespace saola::cli
