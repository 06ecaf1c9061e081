// ClientConnection: one client that speaks HTTP/1: a stream, a parser, and the exchange of the
// moment.
//
//   kProxyHeader -> kHandshake -> kOpen -> kFlushing -> kLinger -> kClosed
//
//   kProxyHeader  a PROXY protocol header is expected first
//   kHandshake    TLS
//   kOpen         requests, one after the other; pipelined ones wait in input_
//   kFlushing     the last answer is on its way; nothing more is read as a request
//   kLinger       our direction is ended; what still comes is thrown away, so that the client reads
//                 the answer instead of a reset (RFC 9112 section 9.6)
//
// Output collects in out_ and leaves at the end of the turn in one write. Finished exchanges are
// put away there too, so that no exchange is destroyed below its own feet. close() may come at any
// time; the object is freed after the turn.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "common/event/io_watcher.h"
#include "common/event/timer.h"
#include "proxy/exchange.h"
#include "proxy/http1/body_decoder.h"
#include "proxy/http1/request_parser.h"
#include "proxy/http1/response_writer.h"
#include "proxy/listener.h"
#include "proxy/stream.h"

namespace saola::proxy {

class ClientConnection final : public Deletable, public Downstream {
 public:
  class Owner {
   public:
    virtual ~Owner() = default;
    // Unlinks the connection and gives it to EventLoop::delete_later(). Called once.
    virtual void on_connection_closed(ClientConnection& connection) = 0;
  };

  ClientConnection(EdgeServices& services, Owner& owner,
                   std::shared_ptr<Listener::Context> listener, UniqueFd socket, Peer peer);
  ~ClientConnection() override;

  // At the end of a turn in which the connection was marked dirty: puts a finished exchange away,
  // goes on with pipelined input, flushes.
  void end_turn();

  // The edge is going to exit: an idle connection closes, unless its next request is here already.
  void drain();
  void close();
  bool is_idle() const;
  bool is_shaking_hands() const {
    return phase_ == Phase::kProxyHeader || phase_ == Phase::kHandshake;
  }
  // While the edge drains: idle, and not so new that its first request may still be on the way.
  bool may_close_at_drain() const;
  // Called now and then: frees buffers of a connection that has been idle since the last call.
  void release_if_idle();

  // Position in the owner's list.
  std::size_t index = 0;

  // Downstream.
  void send_head(const ipc::ResponseHeadView& head, bool end) override;
  void send_interim(const ipc::ResponseHeadView& head) override;
  void send_body(std::string_view data) override;
  void send_end(const std::vector<ipc::Field>& trailers) override;
  void send_refusal(int status, std::string_view extra_fields) override;
  void break_off() override;
  bool has_room() const override;
  void on_body_wanted() override { mark_dirty(); }

 private:
  enum class Phase : std::uint8_t { kProxyHeader, kHandshake, kOpen, kFlushing, kLinger, kClosed };

  static void on_ready(void* self, short what);
  static void on_timer(void* self);

  // Reading.
  void read_proxy_header();
  void open_stream(std::string_view prefix);
  void shake_hands();
  void read_input();
  void take_input(std::string_view data);
  std::size_t consume(std::string_view data);
  std::size_t consume_body(std::string_view data);
  void on_end_of_input();
  void discard_input();

  // Requests (client_requests.cc).
  void begin_exchange();
  void describe_client(Exchange& exchange);
  bool answer_directly(Exchange& exchange, std::string_view host);
  void route(Exchange& exchange, std::string_view host);
  void begin_body(Exchange& exchange, std::uint64_t limit);
  void refuse_head(const http1::HttpError& error);
  void refuse_body(int status, std::string_view outcome);
  void account();
  void log_access();
  void keep_response_field(std::string_view name, std::string_view value);

  // Writing.
  void mark_dirty();
  void put_away_exchange();
  void flush_output();
  void after_flush();
  void begin_close(bool linger);
  void end_brokenly();
  void linger();
  bool has_more_input() const;
  http1::ResponseOptions options(bool keep_alive);
  bool body_unfinished() const { return exchange_ && !decoder_.complete(); }

  // Time and interest.
  void enter(Phase phase);
  void update_interest();
  void set_read_deadline(config::Milliseconds after);
  void on_read_deadline();

  EdgeServices& services_;
  Owner& owner_;
  const std::shared_ptr<Listener::Context> listener_;
  Peer peer_;
  UniqueFd raw_socket_;  // until the stream takes it
  std::unique_ptr<Stream> stream_;
  std::unique_ptr<IoWatcher>
      watcher_;  // before the stream closes its descriptor: declared after it
  LazyTimer timer_;
  http1::RequestParser parser_;
  http1::BodyDecoder decoder_;
  std::unique_ptr<Exchange> exchange_;
  // If the log asks for them; the first so many are of this answer, the rest keep their memory.
  std::vector<std::pair<std::string, std::string>> response_fields_;
  std::size_t response_field_count_ = 0;
  std::string input_;                                                 // read and not yet consumed
  std::string out_;                                                   // of this turn
  Clock::time_point read_deadline_ = Clock::time_point::max();
  Clock::time_point write_deadline_ = Clock::time_point::max();
  Clock::time_point accepted_;
  Clock::time_point body_started_{};
  std::uint64_t requests_ = 0;
  std::uint64_t body_received_ = 0;
  std::uint64_t idle_at_ = ~std::uint64_t{0};      // requests_ when last seen idle
  std::uint64_t released_at_ = ~std::uint64_t{0};  // requests_ when buffers were last freed
  std::int64_t length_left_ = -1;                  // of an answer with Content-Length
  http1::Framing framing_ = http1::Framing::kNone;
  Phase phase_ = Phase::kHandshake;
  bool keep_alive_ = true;  // after the current answer
  bool linger_ = false;     // after the last answer
  bool answered_ = false;   // the exchange's answer is complete in out_
  bool broken_off_ = false;
  bool accounted_ = false;  // the exchange is counted and has its access log line
  bool dirty_ = false;
  bool blocked_ = false;     // output waits for the socket
  bool more_input_ = false;  // the stream has more than one turn's worth
};

}  // namespace saola::proxy
