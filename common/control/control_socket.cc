#include "common/control/control_socket.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "common/config/control_socket_path.h"
#include "common/control/private_directory.h"

namespace saola::control {
namespace {

// The supervisor has other work: a crowd is accepted in several turns.
constexpr int kAcceptsPerTurn = 8;
constexpr std::chrono::milliseconds kAcceptPause{200};

}  // namespace

ControlSocket::ControlSocket(EventLoop& loop, const Logger& log, ControlCommands& commands,
                             UniqueFd socket, std::string path)
    : loop_(loop),
      log_(log),
      commands_(commands),
      socket_(std::move(socket)),
      file_(std::move(path)),
      watcher_(
          loop, socket_.get(),
          [](void* self, short) { static_cast<ControlSocket*>(self)->accept(); }, this),
      retry_(
          loop,
          [](void* self) { static_cast<ControlSocket*>(self)->watcher_.watch(IoWatcher::kRead); },
          this) {
  watcher_.watch(IoWatcher::kRead);
}

ControlSocket::~ControlSocket() = default;

Result<std::unique_ptr<ControlSocket>> ControlSocket::open(EventLoop& loop, const Logger& log,
                                                           ControlCommands& commands,
                                                           const std::string& path, mode_t mode) {
  auto socket = ipc::listen_unix(path, mode);
  if (!socket) return Unexpected{std::move(socket).error()};
  return std::unique_ptr<ControlSocket>(
      new ControlSocket(loop, log, commands, *std::move(socket), path));
}

std::unique_ptr<ControlSocket> ControlSocket::open_configured(EventLoop& loop, const Logger& log,
                                                              ControlCommands& commands,
                                                              const config::Config& config,
                                                              const std::string& xdg_runtime_dir,
                                                              bool quietly) {
  using Kind = config::ControlSocketPlace::Kind;
  const auto place = config::control_socket_place(config, ::geteuid() == 0, xdg_runtime_dir);
  const bool asked_for = place.kind != Kind::kDirectory;
  const auto none = [&log, loud = asked_for && !quietly](const std::string& why) {
    log.write(loud ? LogLevel::kWarning : LogLevel::kDebug, "no control socket: " + why);
    return nullptr;
  };
  if (place.kind == Kind::kOff) return nullptr;
  std::string path = place.path;
  if (place.kind == Kind::kDirectory) {
    if (place.directory.empty()) return none("XDG_RUNTIME_DIR is not set");
    if (auto made = make_private_directory(place.directory); !made) {
      return none(made.error().message);
    }
    remove_dead_sockets(place.directory);
    path = place.directory + '/' + config::control_socket_name(::getpid());
  } else if (place.kind == Kind::kRuntime) {
    const auto made = make_directory(path.substr(0, path.rfind('/')));
    if (!made) return none(made.error().message);
  }
  auto opened =
      open(loop, log, commands, path, static_cast<mode_t>(config.server.control_socket_mode));
  if (!opened) return none(opened.error().message);
  log.debug("control socket: {}", path);
  return *std::move(opened);
}

void ControlSocket::accept() {
  for (int i = 0; i < kAcceptsPerTurn; ++i) {
    UniqueFd socket(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (socket) {
      admit(std::move(socket));
      continue;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) return;
    if (errno == EINTR || errno == ECONNABORTED) continue;
    // Out of descriptors or memory: the client would make the loop spin.
    log_.warning("control socket: {}", system_error("accept", errno).message);
    watcher_.watch(0);
    return retry_.start(kAcceptPause);
  }
}

void ControlSocket::admit(UniqueFd socket) {
  ucred peer{};
  socklen_t length = sizeof peer;
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) return;
  const bool allowed = peer.uid == 0 || peer.uid == ::geteuid();
  const bool room = connections_.size() < kMaxConnections;
  const std::string who = fmt::format("uid {}, pid {}", peer.uid, peer.pid);
  ControlConnection::Owner& owner = *this;
  auto connection =
      std::make_unique<ControlConnection>(loop_, log_, commands_, owner, std::move(socket), who);
  ControlConnection& admitted = *connection;
  connections_.push_back(std::move(connection));
  if (!allowed) {
    log_.warning("control socket: refused {}", who);
    return admitted.refuse(
        fmt::format("not allowed: only root and uid {} may control this server", ::geteuid()));
  }
  if (!room) admitted.refuse("too many clients of the control socket");
}

void ControlSocket::on_closed(ControlConnection& connection) {
  const auto at = std::find_if(connections_.begin(), connections_.end(),
                               [&](const auto& other) { return other.get() == &connection; });
  std::unique_ptr<ControlConnection> dying = std::move(*at);
  connections_.erase(at);
  loop_.delete_later(std::move(dying));
}

}  // namespace saola::control
