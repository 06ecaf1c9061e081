#include "common/control/service_manager.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace saola::control {
namespace {

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

std::optional<std::int64_t> number(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// A line feed would begin another assignment.
std::string one_line(std::string_view text) {
  std::string line(text.substr(0, 512));
  for (char& c : line) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  return line;
}

}  // namespace

ServiceManager::Environment ServiceManager::Environment::of_process() {
  return {variable("NOTIFY_SOCKET"), variable("WATCHDOG_USEC"), variable("WATCHDOG_PID")};
}

ServiceManager::ServiceManager(const Logger& log, const Environment& environment) : log_(log) {
  const std::string& name = environment.notify_socket;
  if (name.empty()) return;
  if ((name[0] != '/' && name[0] != '@') || name.size() < 2 ||
      name.size() >= sizeof address_.sun_path) {
    log_.warning("NOTIFY_SOCKET is no address that can be used: {}", name);
    return;
  }
  socket_.reset(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket_) {
    log_.warning("{}", system_error("NOTIFY_SOCKET", errno).message);
    return;
  }
  address_.sun_family = AF_UNIX;
  std::memcpy(address_.sun_path, name.data(), name.size());
  if (name[0] == '@') address_.sun_path[0] = '\0';
  // An abstract name ends where the length says, a path with a zero byte.
  address_length_ = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size() +
                                           (name[0] == '/' ? 1 : 0));
  const auto interval = number(environment.watchdog_usec);
  const auto pid = number(environment.watchdog_pid);
  if (!interval || *interval <= 0 || (pid && *pid != ::getpid())) return;
  watchdog_ = std::chrono::microseconds(*interval / 2);
}

void ServiceManager::ready(std::string_view status) {
  send(fmt::format("READY=1\nSTATUS={}", one_line(status)));
}

void ServiceManager::reloading(std::string_view status) {
  // Type=notify-reload tells an old READY from the new one by this time.
  const auto now = std::chrono::duration_cast<std::chrono::microseconds>(
      std::chrono::steady_clock::now().time_since_epoch());
  send(fmt::format("RELOADING=1\nMONOTONIC_USEC={}\nSTATUS={}", now.count(), one_line(status)));
}

void ServiceManager::stopping(std::string_view status) {
  send(fmt::format("STOPPING=1\nSTATUS={}", one_line(status)));
}

void ServiceManager::status(std::string_view status) {
  send(fmt::format("STATUS={}", one_line(status)));
}

void ServiceManager::extend_timeout(std::chrono::microseconds by) {
  send(fmt::format("EXTEND_TIMEOUT_USEC={}", by.count()));
}

void ServiceManager::alive() { send("WATCHDOG=1"); }

void ServiceManager::send(const std::string& message) {
  if (!socket_) return;
  ssize_t sent = 0;
  do {
    sent = ::sendto(socket_.get(), message.data(), message.size(), MSG_NOSIGNAL,
                    reinterpret_cast<const sockaddr*>(&address_), address_length_);
  } while (sent < 0 && errno == EINTR);
  if (sent >= 0) {
    failed_ = false;
  } else if (!std::exchange(failed_, true)) {
    log_.warning("the service manager cannot be told: {}",
                 system_error("NOTIFY_SOCKET", errno).message);
  }
}

}  // namespace saola::control
