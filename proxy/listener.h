// Listener: one accepting socket and what holds for every connection that it accepts.
//
// Accepting pauses when there are enough connections (limits.connections, or what descriptors
// allow) and for a moment after EMFILE; the kernel's queue holds those who come meanwhile.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "common/event/io_watcher.h"
#include "common/event/timer.h"
#include "proxy/edge_services.h"
#include "proxy/forwarded.h"
#include "proxy/tls_context.h"

namespace saola::proxy {

// Where a connection comes from, as the socket says.
struct Peer {
  std::string host;  // numeric; empty: Unix socket
  std::uint16_t port = 0;
  std::string server_host;  // the address it came to, or the Unix socket's path
  std::uint16_t server_port = 0;
};

class Listener {
 public:
  // What connections need of their listener. They share it: it outlives the listener when a reload
  // brings another one for the same socket.
  struct Context {
    config::Listen config;
    std::unique_ptr<TlsContext> tls;  // null: plain
    TrustedNetworks trusted;
  };
  // Takes the accepted socket. False: no more now (the listener pauses until resume()).
  using OnAccept =
      std::function<bool(UniqueFd socket, const std::shared_ptr<Context>& context, Peer peer)>;

  Listener(EdgeServices& services, UniqueFd socket, std::shared_ptr<Context> context,
           OnAccept on_accept);

  void resume();
  void pause() { watcher_.watch(0); }
  // Accepts what the kernel's queue still holds, then closes the socket.
  void finish();
  // True if both accept on the same socket, by whatever descriptor.
  bool shares_socket_with(const Listener& other) const;

  Context& context() { return *context_; }

 private:
  // `limit`: connections at most in one go.
  void accept_some(int limit);
  Peer describe(int socket, const void* address) const;

  EdgeServices& services_;
  UniqueFd socket_;
  std::shared_ptr<Context> context_;
  OnAccept on_accept_;
  IoWatcher watcher_;
  Timer retry_timer_;
  bool out_of_descriptors_ = false;  // told the log already
};

}  // namespace saola::proxy
