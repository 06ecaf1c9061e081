// Exchange: one request and its response, whatever the protocol towards the client.
//
// It stands between a Downstream (the client's side: an HTTP/1 connection now, an HTTP/2 stream
// later) and an Upstream (the app's queue and workers) and joins the two by back-pressure:
//
//   kReceiving --(dispatchable)--> kQueued --(sent to a worker)--> kSent --(head)--> kResponding
//   --> kDone
//        |                            ^------- taken back, retry ------|                 |
//        '--> kDone  (refused)                                                           '--> kDone
//        (broken off)
//
// Whole-body apps (WSGI) leave kReceiving when the body is complete, streaming ones (ASGI) at once.
// Owned by the Downstream's side; Upstream and WorkerConnection hold plain pointers, which
// detach() takes back. kDone is entered once; on_exchange_done() may come after that, when the
// client has taken everything.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "common/config/config.h"
#include "common/core/clock.h"
#include "common/ipc/frame.h"
#include "common/ipc/messages.h"
#include "proxy/forwarded.h"
#include "proxy/http1/request_parser.h"
#include "proxy/request_body.h"
#include "proxy/response_store.h"

namespace saola::proxy {

class Upstream;
class WorkerConnection;
struct EdgeServices;

// The client's side of an exchange.
class Downstream {
 public:
  virtual ~Downstream() = default;
  virtual void send_head(const ipc::ResponseHeadView& head, bool end) = 0;
  virtual void send_interim(const ipc::ResponseHeadView& head) = 0;
  virtual void send_body(std::string_view data) = 0;
  virtual void send_end(const std::vector<ipc::Field>& trailers) = 0;
  // An answer of the edge's own; nothing was sent before. `extra_fields` are whole lines.
  virtual void send_refusal(int status, std::string_view extra_fields) = 0;
  // The answer cannot be completed: let the client notice.
  virtual void break_off() = 0;
  // True while send_body() may be given more; when it becomes true again the Downstream calls
  // Exchange::on_downstream_ready().
  virtual bool has_room() const = 0;
  // Reading of the request's body may go on (or must stop): look at Exchange::wants_body().
  virtual void on_body_wanted() = 0;
};

class Exchange {
 public:
  enum class State : std::uint8_t { kReceiving, kQueued, kSent, kResponding, kDone };

  Exchange(EdgeServices& services, Downstream& downstream);
  ~Exchange();
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  // The request; filled in by the Downstream before start().
  http1::RequestHead head;
  std::string path;  // decoded
  std::string request_id;
  ClientInfo client;
  std::string_view server_host;
  std::uint16_t server_port = 0;
  std::string root_path;                                         // of the route
  std::string_view script_path;                                  // path below root_path
  config::Forwarded forwarded_source = config::Forwarded::kOff;  // of the listener
  bool peer_trusted = false;
  bool has_connection_field = false;
  Clock::time_point started;                           // first byte of the head was parsed
  std::optional<config::Milliseconds> route_timeout;   // the route's request_timeout
  std::optional<config::Milliseconds> route_max_time;  // and request_max_time
  bool in_access_log = true;                           // its route says so

  // Admits the request to `upstream`'s queue, or refuses it (503). The body follows through
  // on_body().
  void start(Upstream& upstream);
  // Sends it to this worker, which can_send(), past the queue. It has no body.
  void start_at(Upstream& upstream, WorkerConnection& worker);
  // Refuses it without an upstream: 400, 404, 413, 421, ...
  void refuse(int status, std::string_view outcome, std::string_view extra_fields = {});

  // --- from the client -----------------------------------------------------------------------
  void on_body(std::string_view data);
  void on_body_end();
  // The client has gone, or its side failed: nothing more is sent.
  void on_client_gone(std::string_view outcome = "client_gone");
  void on_downstream_ready() { pump_response(); }
  bool wants_body() const { return state_ == State::kDone || !body_ || !body_->paused(); }

  // --- from the upstream and its worker --------------------------------------------------------
  void on_sent(WorkerConnection& worker, std::uint32_t stream);
  void on_worker_head(const ipc::ResponseHeadView& head, bool end, bool interim);
  void on_worker_body(std::string_view data, bool end);
  void on_worker_trailers(const std::vector<ipc::Field>& trailers);
  void on_worker_abort();
  void on_request_credit(std::uint32_t bytes);
  // The worker is gone. `claimed`: it had started.
  void on_worker_lost(bool claimed);
  // It has been taken back unclaimed and is going to be queued again.
  void on_taken_back();
  void on_queue_timeout();
  // The worker has had it for longer than `limit`, which the key `outcome` says: 504, or a
  // broken-off answer. The worker is told to stop.
  void on_request_timeout(std::string_view outcome, config::Milliseconds limit);
  // The worker's slot is free again: the worker has ended the answer, or never started it.
  void forget_worker() { worker_ = nullptr; }

  // --- what others want to know ------------------------------------------------------------------
  State state() const { return state_; }
  Upstream* upstream() const { return upstream_; }
  WorkerConnection* worker() const { return worker_; }
  std::uint32_t stream() const { return stream_; }
  RequestBody* body() { return body_.get(); }
  bool response_started() const { return head_sent_; }
  // True while its worker, or a slow part of its answer, waits for the client.
  bool client_holds() const;
  // Method and path, for the log; a very long path is cut.
  std::string request_line() const;
  std::string_view outcome() const { return outcome_; }
  int status() const { return status_; }
  std::uint64_t response_bytes() const { return response_bytes_; }
  Clock::time_point queued_at() const { return queued_at_; }
  std::uint64_t arrival() const { return arrival_; }
  void set_arrival(std::uint64_t arrival) { arrival_ = arrival; }
  struct WorkerFacts {
    std::uint32_t pid = 0, id = 0, generation = 0;
  };
  const WorkerFacts& worker_facts() const { return worker_facts_; }
  Clock::time_point sent_at() const { return sent_at_; }
  Clock::time_point head_at() const { return head_at_; }
  int retries() const { return retries_; }
  // How far its worker came with the answer: "complete", "begun", "silent"; empty: none had it.
  std::string_view upstream_state() const;

  // Links of the upstream's queue; ExchangeQueue's alone.
  Exchange* queue_prev = nullptr;
  Exchange* queue_next = nullptr;

  // The fields as the worker should see them, in `fields`; `meta` likewise. Views into *this.
  void describe(ipc::RequestMeta& meta, std::vector<ipc::Field>& fields,
                bool drop_underscores) const;
  // Sends what the worker's window allows of a streamed or inline body.
  void pump_body();

 private:
  void enter(State state);
  void detach();
  void finish(std::string_view outcome);
  void fail(int status, std::string_view outcome, std::string_view extra_fields = {});
  void queue_again();
  void deliver(std::string_view data);
  void pump_response();
  void finish_response();
  void settle_credit();
  void on_body_stored();
  ResponseStore& store();

  EdgeServices& services_;
  Downstream& downstream_;
  Upstream* upstream_ = nullptr;
  WorkerConnection* worker_ = nullptr;
  std::uint32_t stream_ = 0;
  State state_ = State::kReceiving;
  bool head_sent_ = false;  // towards the client
  bool request_end_sent_ = false;
  bool worker_ended_ = false;  // the answer is complete, maybe not all taken by the client
  bool worker_broke_ = false;  // it was broken off; what is stored goes out first
  int status_ = 0;
  int retries_ = 0;
  std::string_view outcome_ = "ok";
  std::uint64_t arrival_ = 0;
  std::uint64_t response_bytes_ = 0;
  std::uint64_t credit_owed_ = 0;  // answer bytes taken over, not yet credited to the worker
  std::int64_t request_window_ = 0;
  Clock::time_point queued_at_{};
  Clock::time_point sent_at_{};
  Clock::time_point head_at_{};
  WorkerFacts worker_facts_;
  std::unique_ptr<RequestBody> body_;
  std::unique_ptr<ResponseStore> store_;
  std::vector<std::pair<std::string, std::string>> trailers_;
};

}  // namespace saola::proxy
