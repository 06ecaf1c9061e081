// AsgiHost: serves requests with an ASGI 3 application on an asyncio event loop.
//
//   start()     loop and lifespan startup
//   serve()     the channel's two descriptors are watched by the loop with one reader; each event
//               claims what there is and makes a task of each request; one flush per turn of the
//               loop
//   shutdown()  cancels what is left, lifespan shutdown, closes the loop
//
// Without an edge the loop runs on and watches the channel's bell alone; it rings for the next
// edge.
//
// Draining: nothing more is claimed; requests that run, background work after their answer
// included, get most of the time until channel.drain_deadline(), then their tasks are cancelled;
// lifespan shutdown gets what is left.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <vector>

#include "backend/app_host.h"
#include "backend/asgi/exchange.h"
#include "backend/asgi/flusher.h"
#include "backend/asgi/lifespan.h"
#include "backend/asgi/py_loop.h"
#include "backend/asgi/scope.h"

namespace saola::backend::asgi {

class AsgiHost final : public AppHost {
 public:
  explicit AsgiHost(HostContext context) : context_(std::move(context)) {}
  AsgiHost(const AsgiHost&) = delete;
  AsgiHost& operator=(const AsgiHost&) = delete;
  ~AsgiHost() override;

  Result<void> start() override;
  void serve() override;
  void shutdown() override;

 private:
  Result<void> prepare();
  Result<void> watch_channel();
  void follow_socket();

  // Loop callbacks.
  void on_boot_event();
  void on_readable();
  void on_second();
  void on_drain_limit();

  bool has_room() const;
  void claim_requests();
  void claim_soon();
  void start_exchange(RequestStream& stream);
  bool call_application(Exchange& exchange, const ipc::RequestView& request);
  void begin_drain();
  void stop_when_over();
  void cancel_exchanges();
  void log_failure(const char* what, const Result<void>& result);

  HostContext context_;
  // In this order: what is below refers to what is above.
  std::unique_ptr<PyLoop> loop_;
  std::optional<ScopeFactory> scopes_;
  std::optional<Lifespan> lifespan_;
  std::optional<Flusher> flusher_;
  std::optional<ExchangeContext> exchanges_;
  py::object readable_callback_, second_callback_, drain_limit_callback_;
  std::vector<RequestStream*> events_;
  int watched_fd_ = -1;  // the edge's socket; -1: none is watched
  std::chrono::steady_clock::time_point deadline_ = std::chrono::steady_clock::time_point::max();
  bool serving_ = false;
  bool running_ = false;   // inside the loop
  bool draining_ = false;  // as far as the loop has noticed
  bool claim_scheduled_ = false;
  bool stopping_ = false;  // the loop was told to stop
  bool over_ = false;      // shutdown() is done
};

}  // namespace saola::backend::asgi
