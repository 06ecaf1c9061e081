#include "common/control/listen_sockets.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "common/config/activation.h"
#include "common/config/address.h"
#include "common/config/paths.h"
#include "common/core/c_ptr.h"

namespace saola::control {
namespace {

using AddressListPtr = CPtr<addrinfo, ::freeaddrinfo>;

// A socket address in the form that the calls want.
struct SockAddress {
  sockaddr_storage storage{};
  socklen_t length = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
};

Result<SockAddress> look_up(const config::Address& address, const std::string& shown) {
  addrinfo hints{};
  hints.ai_family = address.is_ipv6 ? AF_INET6 : AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* list = nullptr;
  const int error =
      ::getaddrinfo(address.host.c_str(), std::to_string(address.port).c_str(), &hints, &list);
  const AddressListPtr owned(list);
  if (error != 0) return fail(fmt::format("{}: {}", shown, ::gai_strerror(error)));
  SockAddress found;
  // One listener is one socket: a name with several addresses stands for its first.
  std::memcpy(&found.storage, list->ai_addr, list->ai_addrlen);
  found.length = list->ai_addrlen;
  return found;
}

std::string show(const SockAddress& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (address.storage.ss_family == AF_INET) {
    const auto& v4 = *reinterpret_cast<const sockaddr_in*>(&address.storage);
    ::inet_ntop(AF_INET, &v4.sin_addr, text.data(), text.size());
    return fmt::format("{}:{}", text.data(), ntohs(v4.sin_port));
  }
  if (address.storage.ss_family == AF_INET6) {
    const auto& v6 = *reinterpret_cast<const sockaddr_in6*>(&address.storage);
    ::inet_ntop(AF_INET6, &v6.sin6_addr, text.data(), text.size());
    return fmt::format("[{}]:{}", text.data(), ntohs(v6.sin6_port));
  }
  if (address.storage.ss_family == AF_UNIX) {
    const auto& un = *reinterpret_cast<const sockaddr_un*>(&address.storage);
    const std::size_t room = address.length - offsetof(sockaddr_un, sun_path);
    return "unix:" + std::string(un.sun_path, ::strnlen(un.sun_path, room));
  }
  return "?";
}

// What the kernel says the socket is bound to: port 0 has become a number by now.
std::string show_bound(const UniqueFd& fd, bool tls) {
  SockAddress address;
  address.length = sizeof address.storage;
  if (::getsockname(fd.get(), address.get(), &address.length) != 0) return "?";
  const char* scheme = tls ? "https" : "http";
  const std::string where = show(address);
  return where.starts_with("unix:") ? fmt::format("{} ({})", where, scheme)
                                    : fmt::format("{}://{}", scheme, where);
}

Unexpected<Error> bind_error(int reason, const std::string& shown, unsigned port) {
  switch (reason) {
    case EADDRINUSE:
      return fail(fmt::format("address already in use: {} (another server listens there; "
                              "ss -ltnp 'sport = :{}' shows which)",
                              shown, port),
                  reason);
    case EACCES:
      return fail(fmt::format("not allowed to listen on {}: ports below 1024 need root, "
                              "CAP_NET_BIND_SERVICE or a lower net.ipv4.ip_unprivileged_port_start",
                              shown),
                  reason);
    case EADDRNOTAVAIL:
      return fail(
          fmt::format("cannot listen on {}: no interface of this system has that address", shown),
          reason);
    default:
      return Unexpected{system_error("listen on " + shown, reason)};
  }
}

Result<UniqueFd> open_inet(const config::Address& address, const config::Listen& listen) {
  const std::string& shown = listen.address;
  const auto where = look_up(address, shown);
  if (!where) return Unexpected{where.error()};
  const int family = where->storage.ss_family;
  UniqueFd fd(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return bind_error(errno, shown, address.port);
  const int on = 1;
  const int v6_only = listen.ipv6_only ? 1 : 0;
  if (::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
      (family == AF_INET6 &&
       ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, sizeof v6_only) != 0) ||
      ::bind(fd.get(), where->get(), where->length) != 0 ||
      ::listen(fd.get(), listen.backlog) != 0) {
    return bind_error(errno, shown, address.port);
  }
  return fd;
}

Result<UniqueFd> open_inherited(int number, const config::Listen& listen) {
  int accepts = 0;
  socklen_t length = sizeof accepts;
  if (::getsockopt(number, SOL_SOCKET, SO_ACCEPTCONN, &accepts, &length) != 0) {
    return fail(fmt::format("{}: descriptor {} is {}", listen.address, number,
                            errno == EBADF ? "not open" : "no socket"));
  }
  if (accepts == 0) {
    return fail(fmt::format("{}: socket {} does not listen", listen.address, number));
  }
  UniqueFd fd(::fcntl(number, F_DUPFD_CLOEXEC, 3));
  if (!fd) return Unexpected{system_error(listen.address, errno)};
  const int flags = ::fcntl(fd.get(), F_GETFL);
  if (flags < 0 || ::fcntl(fd.get(), F_SETFL, flags | O_NONBLOCK) != 0) {
    return Unexpected{system_error(listen.address, errno)};
  }
  return fd;
}

Result<SockAddress> unix_address(const std::string& path) {
  SockAddress address;
  auto& un = *reinterpret_cast<sockaddr_un*>(&address.storage);
  if (path.size() >= sizeof un.sun_path) {
    return fail(fmt::format("unix:{}: the path has {} bytes; a socket's may have {}", path,
                            path.size(), sizeof un.sun_path - 1));
  }
  un.sun_family = AF_UNIX;
  std::memcpy(un.sun_path, path.c_str(), path.size() + 1);
  address.length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1);
  return address;
}

// Makes way for a new socket at `path`: removes one that nobody listens on, refuses anything else.
Result<void> clear_stale(const std::string& path, const SockAddress& address) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) {
    if (errno == ENOENT) return {};
    return Unexpected{system_error("unix:" + path, errno)};
  }
  if (!S_ISSOCK(info.st_mode)) {
    return fail(
        fmt::format("unix:{}: something that is no socket is there; remove it or choose "
                    "another path",
                    path));
  }
  const UniqueFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!probe) return Unexpected{system_error("socket", errno)};
  if (::connect(probe.get(), address.get(), address.length) == 0 || errno == EAGAIN) {
    return fail(fmt::format("address already in use: unix:{} (another server listens there)", path),
                EADDRINUSE);
  }
  if (errno == ENOENT) return {};
  if (errno != ECONNREFUSED) return Unexpected{system_error("unix:" + path, errno)};
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
    return Unexpected{system_error("remove the unused socket " + path, errno)};
  }
  return {};
}

using Socket = ListenSockets::Socket;

Result<UniqueFd> open_unix(const std::string& path, const config::Listen& listen,
                           const Credentials& owner, Socket& socket) {
  const auto address = unix_address(path);
  if (!address) return Unexpected{address.error()};
  if (auto cleared = clear_stale(path, *address); !cleared) return Unexpected{cleared.error()};
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd || ::bind(fd.get(), address->get(), address->length) != 0) {
    return Unexpected{system_error("listen on unix:" + path, errno)};
  }
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) return Unexpected{system_error("unix:" + path, errno)};
  socket.path = path;
  socket.device = info.st_dev;
  socket.inode = info.st_ino;
  // Nobody can connect before listen(), so nobody sees another mode or owner than these.
  if (owner.change && ::lchown(path.c_str(), owner.uid, owner.gid) != 0) {
    return Unexpected{system_error("change the owner of unix:" + path, errno)};
  }
  if (::chmod(path.c_str(), static_cast<mode_t>(listen.mode)) != 0 ||
      ::listen(fd.get(), listen.backlog) != 0) {
    return Unexpected{system_error("listen on unix:" + path, errno)};
  }
  return fd;
}

Result<std::shared_ptr<Socket>> open_one(const config::Config& config, const config::Listen& listen,
                                         const Credentials& owner) {
  const auto address = config::parse_address(listen.address);
  if (!address) return Unexpected{address.error()};
  auto socket = std::make_shared<Socket>();
  auto fd = [&]() -> Result<UniqueFd> {
    switch (address->kind) {
      case config::Address::Kind::kInet:
        return open_inet(*address, listen);
      case config::Address::Kind::kUnix:
        return open_unix(config::resolve_path(config, address->path), listen, owner, *socket);
      case config::Address::Kind::kFd:
        socket->inherited = address->fd;
        return open_inherited(address->fd, listen);
      case config::Address::Kind::kSystemd: {
        const auto number = config::find_activated(address->name, config::activated_sockets());
        if (!number) return fail(fmt::format("{}: {}", listen.address, number.error().message));
        socket->inherited = *number;
        return open_inherited(*number, listen);
      }
    }
    SAOLA_UNREACHABLE();
  }();
  if (!fd) {
    socket->inherited = -1;  // not ours to close
    return Unexpected{std::move(fd).error()};
  }
  socket->fd = *std::move(fd);
  socket->address = listen.address;
  socket->ipv6_only = listen.ipv6_only;
  socket->shown = show_bound(socket->fd, listen.tls.has_value());
  return socket;
}

// False: somebody removed or replaced the file; nobody reaches the socket any more.
bool is_reachable(const Socket& socket) {
  struct stat info {};
  return socket.path.empty() || (::lstat(socket.path.c_str(), &info) == 0 &&
                                 info.st_dev == socket.device && info.st_ino == socket.inode);
}

// A bound socket takes on what a new configuration says of it, as far as that is possible.
Result<void> adapt(Socket& socket, const config::Listen& listen) {
  if (socket.ipv6_only != listen.ipv6_only) {
    return fail(
        fmt::format("{}: ipv6_only of an open socket cannot be changed; restart to change "
                    "it",
                    listen.address));
  }
  if (!socket.path.empty() && ::chmod(socket.path.c_str(), static_cast<mode_t>(listen.mode)) != 0) {
    return Unexpected{system_error("change the mode of unix:" + socket.path, errno)};
  }
  // On a socket that listens it only sets the length of its queue.
  if (socket.inherited < 0 && ::listen(socket.fd.get(), listen.backlog) != 0) {
    return Unexpected{system_error("listen on " + listen.address, errno)};
  }
  socket.shown = show_bound(socket.fd, listen.tls.has_value());
  return {};
}

}  // namespace

Result<ListenSockets, std::vector<std::string>> ListenSockets::open(const config::Config& config,
                                                                    const Credentials& owner,
                                                                    const ListenSockets* before) {
  ListenSockets opened;
  std::vector<std::string> problems;
  if (config.listen.size() > kMost) {
    problems.push_back(
        fmt::format("{} listeners; at most {} are possible", config.listen.size(), kMost));
    return Unexpected{std::move(problems)};
  }
  // Each is taken once: several may have asked for any port of one address.
  auto kept = before != nullptr ? before->sockets_ : std::vector<std::shared_ptr<Socket>>();
  for (const auto& listen : config.listen) {
    const auto same = std::find_if(kept.begin(), kept.end(), [&listen](const auto& socket) {
      return socket != nullptr && socket->address == listen.address && is_reachable(*socket);
    });
    if (same != kept.end()) {
      if (auto adapted = adapt(**same, listen); !adapted) {
        problems.push_back(adapted.error().message);
      }
      opened.sockets_.push_back(std::exchange(*same, nullptr));
    } else if (auto socket = open_one(config, listen, owner)) {
      opened.sockets_.push_back(*std::move(socket));
    } else {
      problems.push_back(std::move(socket).error().message);
    }
  }
  if (!problems.empty()) return Unexpected{std::move(problems)};
  return opened;
}

std::vector<int> ListenSockets::descriptors() const {
  std::vector<int> numbers;
  for (const auto& socket : sockets_) numbers.push_back(socket->fd.get());
  return numbers;
}

std::vector<std::string> ListenSockets::addresses() const {
  std::vector<std::string> shown;
  for (const auto& socket : sockets_) shown.push_back(socket->shown);
  return shown;
}

void ListenSockets::close() {
  // Not closed but pointed elsewhere: the number may be 0, 1 or 2.
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  for (const auto& socket : sockets_) {
    const int number = socket->inherited;
    if (number < 0 || socket.use_count() > 1 || !null) continue;
    ::dup3(null.get(), number, number > STDERR_FILENO ? O_CLOEXEC : 0);
  }
  sockets_.clear();
}

ListenSockets::Socket::~Socket() {
  if (!path.empty() && is_reachable(*this)) ::unlink(path.c_str());
}

}  // namespace saola::control
