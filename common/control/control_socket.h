// ControlSocket: the Unix socket through which `saola status`, `saola reload` and the others speak
// to the supervisor (docs/control.md; the language is common/ipc/control_protocol.h).
//
// Served from the supervisor's loop and never blocks it. Whatever the mode of the file, only root
// and the user that the supervisor runs as are answered (SO_PEERCRED). The number of clients, the
// size of a request, what is kept of an answer and idle time are bounded. Its file is removed at
// the end, if it is still ours.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "common/config/config.h"
#include "common/control/control_commands.h"
#include "common/control/control_connection.h"
#include "common/core/log.h"
#include "common/event/io_watcher.h"
#include "common/event/timer.h"
#include "common/ipc/unix_socket.h"

namespace saola::control {

class ControlSocket final : private ControlConnection::Owner {
 public:
  static constexpr std::size_t kMaxConnections = 32;

  // Listens at `path`. References outlive it. Error code EADDRINUSE: a running server has it.
  static Result<std::unique_ptr<ControlSocket>> open(EventLoop& loop, const Logger& log,
                                                     ControlCommands& commands,
                                                     const std::string& path, mode_t mode);

  // The one that the configuration asks for, or null: after a warning if it named a place, with a
  // debug record if no directory is writable. `quietly`: it has been said before.
  // `xdg_runtime_dir`: $XDG_RUNTIME_DIR or empty. Sockets that dead instances left in the user's
  // directory are removed on the way.
  static std::unique_ptr<ControlSocket> open_configured(EventLoop& loop, const Logger& log,
                                                        ControlCommands& commands,
                                                        const config::Config& config,
                                                        const std::string& xdg_runtime_dir,
                                                        bool quietly = false);

  ~ControlSocket() override;
  const std::string& path() const { return file_.path(); }
  // False: the file has been removed or replaced; nobody finds this socket any more.
  bool is_reachable() const { return file_.is_there(); }
  std::size_t connections() const { return connections_.size(); }

 private:
  ControlSocket(EventLoop& loop, const Logger& log, ControlCommands& commands, UniqueFd socket,
                std::string path);

  void accept();
  void admit(UniqueFd socket);
  void on_closed(ControlConnection& connection) override;

  EventLoop& loop_;
  const Logger& log_;
  ControlCommands& commands_;
  UniqueFd socket_;
  ipc::SocketFile file_;
  IoWatcher watcher_;
  Timer retry_;  // after running out of descriptors
  std::vector<std::unique_ptr<ControlConnection>> connections_;
};

}  // namespace saola::control
