// ServiceManager: tells the service manager how the server is (sd_notify(3)): ready, reloading,
// stopping, alive. Without one (NOTIFY_SOCKET not set) every call does nothing.
//
// The protocol is spoken here rather than by libsystemd (docs/decisions/0009). Never blocks: what
// the manager does not take at once is lost, as it would be with libsystemd; the first loss is
// reported to the log.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "common/core/log.h"
#include "common/core/result.h"
#include "common/core/unique_fd.h"

namespace saola::control {

class ServiceManager {
 public:
  // What is in the environment for this process alone; not for its children.
  static constexpr const char* kVariables[] = {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID",
                                               "LISTEN_PID",    "LISTEN_FDS",    "LISTEN_FDNAMES"};

  struct Environment {
    std::string notify_socket;  // a path, or "@" and an abstract name
    std::string watchdog_usec;
    std::string watchdog_pid;
    static Environment of_process();
  };

  // `log` outlives it. An address that cannot be used is a warning.
  ServiceManager(const Logger& log, const Environment& environment);

  bool is_present() const { return socket_.valid(); }

  // `status` is what `systemctl status` shows; one line, control bytes are replaced by blanks.
  void ready(std::string_view status);
  // Begins a reload; ready() ends it, whatever came of it.
  void reloading(std::string_view status);
  void stopping(std::string_view status);
  void status(std::string_view status);
  // Asks for more time to start or stop than the manager would give.
  void extend_timeout(std::chrono::microseconds by);
  void alive();

  // How often alive() must be called at the latest, half of what the manager waits; none: it does
  // not watch.
  std::optional<std::chrono::microseconds> watchdog_interval() const { return watchdog_; }

 private:
  void send(const std::string& message);

  const Logger& log_;
  UniqueFd socket_;
  sockaddr_un address_{};
  socklen_t address_length_ = 0;
  std::optional<std::chrono::microseconds> watchdog_;
  bool failed_ = false;
};

}  // namespace saola::control
