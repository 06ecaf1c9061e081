// AdminServer: HTTP of the admin process (docs/metrics.md): /, /metrics, /healthz, /readyz,
// /status.
//
// One thread. Answers come from shared memory, so they do not wait for edge, workers or, /status
// apart, the supervisor. GET and HEAD only; bounded connections, sizes and times. Whoever asks must
// call the server by an address, localhost or a configured name: a web page elsewhere cannot make a
// browser of this machine read it under a name of its own (DNS rebinding).
#pragma once

#include <event2/http.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/core/c_ptr.h"
#include "common/core/unique_fd.h"
#include "common/event/event_loop.h"
#include "common/event/timer.h"
#include "proxy/tls_context.h"

struct evconnlistener;

namespace saola::proxy {

class AdminServer {
 public:
  struct Readiness {
    bool ready = false;
    std::string text;  // a line per app
  };
  // What the answers are made of.
  class Source {
   public:
    virtual ~Source() = default;
    virtual std::string metrics() = 0;
    // `app` empty: the server as a whole.
    virtual Readiness readiness(std::string_view app) = 0;
    // give_status() follows with the same number.
    virtual void ask_status(std::uint32_t ask) = 0;
  };
  struct Options {
    std::string token;               // empty: none is asked for
    std::vector<std::string> hosts;  // names beside addresses and localhost
  };

  static constexpr std::size_t kMostConnections = 128;
  static constexpr int kIdleSeconds = 30;
  static constexpr std::chrono::seconds kStatusTimeout{5};

  // `tls`: null for plain HTTP. References outlive it.
  AdminServer(EventLoop& loop, Source& source, Options options, std::unique_ptr<TlsContext> tls);
  ~AdminServer();

  // Takes a listening socket.
  Result<void> listen(UniqueFd socket);
  // No new connections.
  void stop_listening();

  void give_status(std::uint32_t ask, std::string_view json);

 private:
  struct Waiting {
    evhttp_request* request = nullptr;
    Clock::time_point since;
  };

  static bufferevent* on_connection(event_base* base, void* self);
  static void on_request(evhttp_request* request, void* self);
  static void on_client_gone(evhttp_connection* connection, void* self);
  static void on_look(void* self);

  void handle(evhttp_request* request);
  void look();
  bool is_allowed_host(evhttp_request* request) const;
  bool has_token(evhttp_request* request) const;
  static void ask_for_token(evhttp_request* request);
  static void show_page(evhttp_request* request);
  void show_readiness(evhttp_request* request, std::string_view query);
  void wait_for_status(evhttp_request* request);

  EventLoop& loop_;
  Source& source_;
  const Options options_;
  const std::unique_ptr<TlsContext> tls_;
  CPtr<evhttp, evhttp_free> http_;
  std::vector<evconnlistener*> listeners_;  // http_'s
  std::map<std::uint32_t, Waiting> waiting_;
  std::uint32_t last_ask_ = 0;
  Timer look_timer_;
  bool full_ = false;
  bool stopped_ = false;
};

}  // namespace saola::proxy
