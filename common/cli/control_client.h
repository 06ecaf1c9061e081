// ControlClient: the asking end of the control socket (docs/control.md). Blocks; a signal that
// ends the process ends the waiting, and what was asked for goes on in the server.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "common/core/result.h"
#include "common/core/unique_fd.h"
#include "common/ipc/control_protocol.h"

namespace saola::cli {

class ControlClient {
 public:
  // The server is expected to look at its socket within this time.
  static constexpr std::chrono::seconds kPatience{10};
  static constexpr std::size_t kMaxAnswer = std::size_t{16} << 20;
  // Error code of ask() when the connection ended before the answer.
  static constexpr int kLost = 104;  // ECONNRESET

  // The error says what to do.
  static Result<ControlClient> connect(const std::string& path);

  // The server's answer, or why there is none: it refused (code 0), the connection is lost (kLost),
  // or nothing came within `patience` (ETIMEDOUT; none: however long it takes).
  Result<ipc::ControlAnswer> ask(const ipc::ControlRequest& request,
                                 std::optional<std::chrono::milliseconds> patience = kPatience);

  // Returns when the server's process has ended.
  void wait_for_its_end();
  // False: it has. After a lost connection, waits at most `limit`.
  bool is_alive(std::chrono::milliseconds limit);

  long pid() const { return pid_; }

 private:
  ControlClient(std::string path, UniqueFd socket, long pid, UniqueFd process)
      : path_(std::move(path)),
        socket_(std::move(socket)),
        process_(std::move(process)),
        pid_(pid) {}
  Result<void> send(std::string_view line);

  std::string path_;
  UniqueFd socket_;
  UniqueFd process_;   // pidfd of the server; invalid where the kernel or a namespace has none
  std::string input_;  // after the last answer
  long pid_;
};

}  // namespace saola::cli
