#include "proxy/listener.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <climits>

namespace saola::proxy {
namespace {

constexpr int kAcceptsPerTurn = 64;
constexpr std::chrono::milliseconds kDescriptorPause{100};

void put_address(const sockaddr_storage& address, std::string& host, std::uint16_t& port) {
  char text[INET6_ADDRSTRLEN];
  if (address.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
    if (::inet_ntop(AF_INET, &v4.sin_addr, text, sizeof text) != nullptr) host = text;
    port = ntohs(v4.sin_port);
  } else if (address.ss_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
    if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) {
      if (::inet_ntop(AF_INET, &v6.sin6_addr.s6_addr[12], text, sizeof text) != nullptr) {
        host = text;
      }
    } else if (::inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof text) != nullptr) {
      host = text;
    }
    port = ntohs(v6.sin6_port);
  }
}

}  // namespace

Listener::Listener(EdgeServices& services, UniqueFd socket, std::shared_ptr<Context> context,
                   OnAccept on_accept)
    : services_(services),
      socket_(std::move(socket)),
      context_(std::move(context)),
      on_accept_(std::move(on_accept)),
      watcher_(
          services.loop, socket_.get(),
          [](void* self, short) { static_cast<Listener*>(self)->accept_some(kAcceptsPerTurn); },
          this),
      retry_timer_(
          services.loop, [](void* self) { static_cast<Listener*>(self)->resume(); }, this) {
  // Accepted sockets inherit it: one system call here instead of one for each connection.
  const int one = 1;
  ::setsockopt(socket_.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

void Listener::resume() {
  if (socket_) watcher_.watch(IoWatcher::kRead);
}

void Listener::accept_some(int limit) {
  for (int i = 0; i < limit; ++i) {
    sockaddr_storage address{};
    socklen_t length = sizeof address;
    UniqueFd socket(::accept4(socket_.get(), reinterpret_cast<sockaddr*>(&address), &length,
                              SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!socket) {
      const int error = errno;
      if (error == EAGAIN || error == EWOULDBLOCK) return;
      // The connection died in the queue, or the network did: the next one may be fine (accept(2)).
      if (error != EMFILE && error != ENFILE && error != ENOBUFS && error != ENOMEM) continue;
      if (!out_of_descriptors_) {
        services_.log.error("{}: accept: {}; accepting pauses until descriptors are free",
                            context_->config.address, system_error("accept", error).message);
      }
      out_of_descriptors_ = true;
      pause();
      return retry_timer_.start(kDescriptorPause);
    }
    out_of_descriptors_ = false;
    Peer peer = describe(socket.get(), &address);
    if (!on_accept_(std::move(socket), context_, std::move(peer))) return pause();
  }
}

Peer Listener::describe(int socket, const void* address) const {
  Peer peer;
  const auto& storage = *static_cast<const sockaddr_storage*>(address);
  put_address(storage, peer.host, peer.port);
  sockaddr_storage local{};
  socklen_t length = sizeof local;
  if (::getsockname(socket, reinterpret_cast<sockaddr*>(&local), &length) != 0) return peer;
  if (local.ss_family == AF_UNIX) {
    peer.server_host = reinterpret_cast<const sockaddr_un&>(local).sun_path;
  } else {
    put_address(local, peer.server_host, peer.server_port);
  }
  return peer;
}

bool Listener::shares_socket_with(const Listener& other) const {
  struct stat mine {};
  struct stat theirs {};
  return socket_ && other.socket_ && ::fstat(socket_.get(), &mine) == 0 &&
         ::fstat(other.socket_.get(), &theirs) == 0 && mine.st_dev == theirs.st_dev &&
         mine.st_ino == theirs.st_ino;
}

void Listener::finish() {
  if (!socket_) return;
  accept_some(INT_MAX);
  watcher_.watch(0);
  retry_timer_.cancel();
  socket_.reset();
}

}  // namespace saola::proxy
