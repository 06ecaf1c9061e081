#include "proxy/client_connection.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "proxy/plain_stream.h"
#include "proxy/proxy_protocol.h"
#include "proxy/tls_stream.h"

namespace saola::proxy {
namespace {

// Input of one turn: a client that sends fast must not starve the others.
constexpr std::size_t kInputPerTurn = 256 * 1024;
// Above this the client is slow: what follows is stored by the exchange instead.
constexpr std::size_t kOutputHigh = 128 * 1024;
// An answered request's body is read to its end if that is not more than this, else the connection
// closes.
constexpr std::uint64_t kDiscardLimit = 1024 * 1024;
// A connection younger than this may have its first request on the way when the edge drains.
constexpr std::chrono::seconds kNewAtDrain{2};
constexpr std::size_t kProxyHeaderLimit = 4096 + 16;

http1::HeadLimits head_limits(const config::Limits& limits) {
  return {limits.request_line, limits.header_count, limits.header_field, limits.header_bytes};
}

}  // namespace

ClientConnection::ClientConnection(EdgeServices& services, Owner& owner,
                                   std::shared_ptr<Listener::Context> listener, UniqueFd socket,
                                   Peer peer)
    : services_(services),
      owner_(owner),
      listener_(std::move(listener)),
      peer_(std::move(peer)),
      raw_socket_(std::move(socket)),
      timer_(services.loop, on_timer, this),
      parser_(head_limits(services.config.limits)),
      accepted_(services.loop.now()) {
  watcher_ = std::make_unique<IoWatcher>(services_.loop, raw_socket_.get(), on_ready, this);
  if (listener_->config.forwarded == config::Forwarded::kProxyProtocol) {
    phase_ = Phase::kProxyHeader;
    set_read_deadline(services_.config.limits.handshake_timeout);
    watcher_->watch(IoWatcher::kRead);
    return;
  }
  open_stream({});
}

ClientConnection::~ClientConnection() {
  exchange_.reset();
  watcher_.reset();
}

void ClientConnection::enter(Phase phase) {
  SAOLA_CHECK(phase_ != Phase::kClosed);
  phase_ = phase;
}

void ClientConnection::close() {
  if (phase_ == Phase::kClosed) return;
  if (exchange_ && exchange_->state() != Exchange::State::kDone) {
    exchange_->on_client_gone();
  }
  if (exchange_) account();
  watcher_->watch(0);
  timer_.clear();
  // It may have marked itself for the next turn, which it will not see.
  std::replace(services_.dirty.begin(), services_.dirty.end(), this,
               static_cast<ClientConnection*>(nullptr));
  enter(Phase::kClosed);
  owner_.on_connection_closed(*this);
}

bool ClientConnection::is_idle() const {
  return phase_ == Phase::kOpen && !exchange_ && parser_.idle() && input_.empty();
}

bool ClientConnection::may_close_at_drain() const {
  if (services_.loop.now() < services_.idle_close_from) return false;
  const auto age = services_.loop.now() - accepted_;
  if (phase_ == Phase::kProxyHeader || phase_ == Phase::kHandshake) return age > kNewAtDrain;
  return is_idle() && (requests_ > 0 || age > kNewAtDrain);
}

void ClientConnection::drain() {
  if (!is_idle()) return;
  read_input();
  if (may_close_at_drain()) close();
}

void ClientConnection::on_ready(void* self, short what) {
  auto& connection = *static_cast<ClientConnection*>(self);
  switch (connection.phase_) {
    case Phase::kProxyHeader:
      return connection.read_proxy_header();
    case Phase::kHandshake:
      return connection.shake_hands();
    case Phase::kOpen:
    case Phase::kFlushing:
      if ((what & IoWatcher::kWrite) != 0) connection.mark_dirty();
      if ((what & IoWatcher::kRead) != 0 && connection.phase_ == Phase::kOpen) {
        connection.read_input();
      }
      return;
    case Phase::kLinger:
      return connection.discard_input();
    case Phase::kClosed:
      return;
  }
}

// ---- before the first request ------------------------------------------------------------------

void ClientConnection::read_proxy_header() {
  if (!listener_->trusted.contains(peer_.host)) {
    services_.log.warning("{}: PROXY protocol from {}, which is not in 'trusted'; closed",
                          listener_->config.address, peer_.host);
    return close();
  }
  char space[kProxyHeaderLimit];
  const auto got = ::recv(raw_socket_.get(), space, sizeof space, MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) return close();
  input_.append(space, static_cast<std::size_t>(got));
  const auto header = parse_proxy_header(input_);
  if (!header || (!*header && input_.size() >= kProxyHeaderLimit)) {
    services_.log.warning("{}: {} sent no valid PROXY header; closed", listener_->config.address,
                          peer_.host);
    return close();
  }
  if (!*header) return;
  const ProxyHeader& proxied = **header;
  if (!proxied.local) {
    peer_.host = proxied.client_host;
    peer_.port = proxied.client_port;
    peer_.server_host = proxied.server_host;
    peer_.server_port = proxied.server_port;
  }
  const std::string rest = input_.substr(proxied.size);
  input_.clear();
  open_stream(rest);
}

void ClientConnection::open_stream(std::string_view prefix) {
  if (listener_->tls) {
    stream_ = make_tls_stream(std::move(raw_socket_), *listener_->tls, prefix);
  } else {
    stream_ = std::make_unique<PlainStream>(std::move(raw_socket_), prefix);
  }
  enter(Phase::kHandshake);
  set_read_deadline(listener_->tls ? services_.config.limits.handshake_timeout
                                   : services_.config.limits.header_timeout);
  if (listener_->tls == nullptr || !prefix.empty()) return shake_hands();
  watcher_->watch(IoWatcher::kRead);
}

void ClientConnection::shake_hands() {
  stream_->on_readable();
  const StreamStatus status = stream_->handshake();  // sends its own flights
  if (status == StreamStatus::kWouldBlock) {
    const short write = stream_->wants_write() ? IoWatcher::kWrite : short{0};
    return watcher_->watch(static_cast<short>(IoWatcher::kRead | write));
  }
  if (status != StreamStatus::kOk) {
    services_.log.debug("{}: handshake with {} failed: {}", listener_->config.address, peer_.host,
                        stream_->error());
    if (stream_->is_tls()) services_.metrics->handshake_failed(stream_->error());
    return close();
  }
  enter(Phase::kOpen);
  if (stream_->is_tls()) {
    services_.metrics->shook_hands(stream_->tls_version(), stream_->tls_cipher(),
                                   stream_->session_resumed());
  }
  if (listener_->tls) set_read_deadline(services_.config.limits.header_timeout);
  update_interest();
  if (listener_->tls == nullptr && !stream_->has_buffered_input()) return;
  read_input();
}

// ---- input -------------------------------------------------------------------------------------

void ClientConnection::read_input() {
  stream_->on_readable();
  more_input_ = false;
  auto& space = services_.read_buffer;
  std::size_t total = 0;
  while (phase_ == Phase::kOpen) {
    if (total >= kInputPerTurn) {
      more_input_ = true;
      mark_dirty();
      services_.loop.wake_soon();
      break;
    }
    // Pipelined input is read while a request runs, so that the end of input is noticed, but not
    // more than one read of it.
    if (!input_.empty() && exchange_ && decoder_.complete()) break;
    if (body_unfinished() && !exchange_->wants_body()) break;
    const ReadResult got = stream_->read(space);
    if (got.status == StreamStatus::kWouldBlock) break;
    if (got.status == StreamStatus::kEof) return on_end_of_input();
    if (got.status == StreamStatus::kError) return close();
    total += got.bytes;
    take_input({space.data(), got.bytes});
  }
  if (phase_ == Phase::kOpen) update_interest();
}

void ClientConnection::take_input(std::string_view data) {
  if (input_.empty()) {
    const std::size_t taken = consume(data);
    if (taken < data.size()) input_.assign(data.substr(taken));
    return;
  }
  input_.append(data);
  input_.erase(0, consume(input_));
}

std::size_t ClientConnection::consume(std::string_view data) {
  std::size_t taken = 0;
  while (phase_ == Phase::kOpen && taken < data.size()) {
    const auto rest = data.substr(taken);
    if (exchange_) {
      const std::size_t step = consume_body(rest);
      if (step == 0) break;
      taken += step;
      continue;
    }
    const bool was_idle = parser_.idle();
    const auto fed = parser_.feed(rest);
    if (!fed) {
      refuse_head(fed.error());
      return data.size();
    }
    taken += *fed;
    if (parser_.complete()) {
      begin_exchange();
    } else {
      if (was_idle && requests_ > 0) set_read_deadline(services_.config.limits.header_timeout);
      break;
    }
  }
  return taken;
}

std::size_t ClientConnection::consume_body(std::string_view data) {
  if (decoder_.complete() || !exchange_->wants_body()) return 0;
  const auto step = decoder_.feed(data);
  if (!step) {
    refuse_body(step.error().status, "refused");
    return data.size();
  }
  const auto& limits = services_.config.limits;
  body_received_ += step->data.size();
  if (!step->data.empty()) exchange_->on_body(step->data);
  if (phase_ != Phase::kOpen) return step->taken;
  if (decoder_.complete()) {
    read_deadline_ = Clock::time_point::max();
    exchange_->on_body_end();
    if (answered_) mark_dirty();
    return step->taken;
  }
  set_read_deadline(limits.body_timeout);
  const auto spent = services_.loop.now() - body_started_;
  const double seconds = std::chrono::duration<double>(spent).count();
  const bool too_slow =
      limits.body_min_rate > 0 && seconds > 10 &&
      static_cast<double>(body_received_) < static_cast<double>(limits.body_min_rate) * seconds;
  const bool too_long = limits.body_total_timeout.count() > 0 && spent > limits.body_total_timeout;
  if (too_slow || too_long) refuse_body(408, "body_timeout");
  if (answered_ && body_received_ > kDiscardLimit && phase_ == Phase::kOpen) begin_close(true);
  return step->taken;
}

void ClientConnection::on_end_of_input() {
  // Like nginx, an end of input with a request under way counts as the client having gone.
  close();
}

void ClientConnection::discard_input() {
  stream_->on_readable();
  for (std::size_t total = 0; total < kInputPerTurn;) {
    const ReadResult got = stream_->read(services_.read_buffer);
    if (got.status == StreamStatus::kWouldBlock) return;
    if (got.status != StreamStatus::kOk) return close();
    total += got.bytes;
  }
  if (stream_->has_buffered_input()) {
    more_input_ = true;
    mark_dirty();
    services_.loop.wake_soon();
  }
}

// ---- answers -----------------------------------------------------------------------------------

// The client has sent more than the request that is being answered.
bool ClientConnection::has_more_input() const {
  if (!input_.empty() || stream_->has_buffered_input()) return true;
  char byte = 0;
  return ::recv(stream_->fd(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

http1::ResponseOptions ClientConnection::options(bool keep_alive) {
  http1::ResponseOptions options;
  if (exchange_) {
    options.request_method = exchange_->head.method;
    options.request_version = exchange_->head.version;
    options.request_id = exchange_->request_id;
  }
  const bool leaves = services_.draining || (services_.releasing && !has_more_input());
  options.keep_alive = keep_alive && !leaves;
  options.server = services_.config.server.server_header;
  options.date = services_.date.now();
  return options;
}

void ClientConnection::send_head(const ipc::ResponseHeadView& head, bool) {
  const auto written = http1::write_response_head(out_, head, options(keep_alive_));
  framing_ = written.framing;
  keep_alive_ = written.keep_alive;
  length_left_ = framing_ == http1::Framing::kLength ? written.content_length : -1;
  if (services_.access_format != nullptr && services_.access_format->uses_response_fields()) {
    response_field_count_ = 0;
    for (const auto& field : head.fields) keep_response_field(field.name, field.value);
    if (head.content_length >= 0) {  // travels beside the fields
      keep_response_field("content-length", std::to_string(head.content_length));
    }
  }
  mark_dirty();
}

void ClientConnection::keep_response_field(std::string_view name, std::string_view value) {
  if (response_field_count_ == response_fields_.size()) response_fields_.emplace_back();
  auto& kept = response_fields_[response_field_count_++];
  kept.first = name;
  kept.second = value;
}

void ClientConnection::send_interim(const ipc::ResponseHeadView& head) {
  if (exchange_->head.version != ipc::HttpVersion::k11) return;
  http1::write_interim_head(out_, head);
  mark_dirty();
}

void ClientConnection::send_body(std::string_view data) {
  switch (framing_) {
    case http1::Framing::kNone:
      return;
    case http1::Framing::kChunked:
      http1::write_chunk(out_, data);
      break;
    case http1::Framing::kLength:
      if (static_cast<std::int64_t>(data.size()) > length_left_) {
        // More than was announced would be read as the next answer.
        data = data.substr(0, static_cast<std::size_t>(length_left_));
        keep_alive_ = false;
      }
      length_left_ -= static_cast<std::int64_t>(data.size());
      out_.append(data);
      break;
    case http1::Framing::kUntilClose:
      out_.append(data);
      break;
  }
  mark_dirty();
}

void ClientConnection::send_end(const std::vector<ipc::Field>& trailers) {
  if (framing_ == http1::Framing::kLength && length_left_ > 0) {
    services_.log.write(LogLevel::kError, "the app's answer is shorter than its Content-Length",
                        exchange_->request_id);
    return break_off();
  }
  if (framing_ == http1::Framing::kChunked) http1::write_last_chunk(out_, trailers);
  answered_ = true;
  mark_dirty();
}

void ClientConnection::send_refusal(int status, std::string_view extra_fields) {
  // What is left of the request's body would be read as the next request.
  // After a malformed request nobody knows what the client means next.
  if (!decoder_.complete() || status == 400) keep_alive_ = false;
  const auto how = options(keep_alive_);
  keep_alive_ = how.keep_alive;
  http1::write_error_response(out_, status, exchange_->request_id, extra_fields, how);
  framing_ = http1::Framing::kNone;
  answered_ = true;
  mark_dirty();
}

void ClientConnection::break_off() {
  broken_off_ = true;
  answered_ = true;
  keep_alive_ = false;
  mark_dirty();
}

bool ClientConnection::has_room() const {
  return out_.size() + stream_->pending_output() < kOutputHigh;
}

void ClientConnection::mark_dirty() {
  if (dirty_ || phase_ == Phase::kClosed) return;
  dirty_ = true;
  services_.dirty.push_back(this);
}

void ClientConnection::end_turn() {
  dirty_ = false;
  if (phase_ == Phase::kClosed) return;
  if (more_input_) {
    if (phase_ == Phase::kOpen) read_input();
    if (phase_ == Phase::kLinger) return discard_input();
  }
  // Several pipelined requests may be answered at once; not without end in one turn.
  for (int i = 0; i < 16 && phase_ == Phase::kOpen && exchange_ && answered_; ++i) {
    if (!decoder_.complete() && keep_alive_ && !broken_off_) break;  // its body is read first
    put_away_exchange();
  }
  if (phase_ == Phase::kOpen && body_unfinished() && exchange_->wants_body() && !input_.empty()) {
    std::string input;
    input.swap(input_);
    take_input(input);
  }
  if (phase_ != Phase::kClosed) flush_output();
}

void ClientConnection::put_away_exchange() {
  account();
  const bool unread = !decoder_.complete() || !input_.empty();
  if (!keep_alive_) return begin_close(unread || exchange_->status() == 400);
  exchange_.reset();
  answered_ = false;
  set_read_deadline(services_.config.limits.keepalive_timeout);
  if (input_.empty()) return;
  std::string input;
  input.swap(input_);
  take_input(input);
}

// No more requests are read; the connection ends once the output has gone.
void ClientConnection::begin_close(bool linger) {
  linger_ = linger;
  read_deadline_ = Clock::time_point::max();
  enter(Phase::kFlushing);
  mark_dirty();
}

void ClientConnection::flush_output() {
  if (phase_ == Phase::kLinger) return;
  const std::size_t before = stream_->pending_output();
  if (!out_.empty()) {
    stream_->write(out_);
    out_.clear();
  }
  if (out_.capacity() > kOutputHigh) std::string().swap(out_);
  const std::size_t pending = stream_->pending_output();
  const StreamStatus status = stream_->flush();
  if (status == StreamStatus::kError) return close();
  const bool was_blocked = blocked_;
  blocked_ = status == StreamStatus::kWouldBlock;
  if (blocked_) {
    const bool progress = stream_->pending_output() < pending;
    if (!was_blocked || progress || before == 0) {
      write_deadline_ = services_.loop.now() + services_.config.limits.write_timeout;
      timer_.set(std::min(read_deadline_, write_deadline_));
    }
  } else {
    write_deadline_ = Clock::time_point::max();
  }
  after_flush();
}

void ClientConnection::after_flush() {
  if (phase_ == Phase::kFlushing && !blocked_) {
    if (broken_off_) return end_brokenly();
    stream_->end_output();
    const StreamStatus status = stream_->flush();
    if (status == StreamStatus::kError || (status == StreamStatus::kOk && !linger_)) {
      return close();
    }
    if (status == StreamStatus::kOk) return linger();
    blocked_ = true;
  }
  if (exchange_ && !answered_ && has_room()) exchange_->on_downstream_ready();
  update_interest();
}

// Ends the connection so that the client can tell that the answer is not complete: a missing last
// chunk, missing bytes, or no close_notify. What was sent still arrives.
void ClientConnection::end_brokenly() {
  if (framing_ == http1::Framing::kUntilClose && !stream_->is_tls()) {
    // Only a reset tells that this end is not the end.
    const ::linger hard{1, 0};
    ::setsockopt(stream_->fd(), SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    return close();
  }
  ::shutdown(stream_->fd(), SHUT_WR);
  linger();
}

void ClientConnection::linger() {
  enter(Phase::kLinger);
  set_read_deadline(services_.config.limits.linger_timeout);
  watcher_->watch(IoWatcher::kRead);
  discard_input();
}

void ClientConnection::release_if_idle() {
  if (!is_idle() || blocked_ || requests_ == released_at_) return;
  // Not at once: most connections that fall idle send their next request within moments.
  if (std::exchange(idle_at_, requests_) != requests_) return;
  released_at_ = requests_;
  stream_->release_buffers();
  parser_.release_buffers();
  std::string().swap(out_);
  std::string().swap(input_);
}

// ---- time and interest -------------------------------------------------------------------------

void ClientConnection::update_interest() {
  if (phase_ == Phase::kClosed) return;
  short what = blocked_ || stream_->wants_write() ? IoWatcher::kWrite : short{0};
  if (phase_ == Phase::kOpen) {
    const bool reads =
        !exchange_ || (decoder_.complete() ? input_.empty() : exchange_->wants_body());
    if (reads) what = static_cast<short>(what | IoWatcher::kRead);
  }
  watcher_->watch(what);
}

void ClientConnection::set_read_deadline(config::Milliseconds after) {
  read_deadline_ = after.count() > 0 ? services_.loop.now() + after : Clock::time_point::max();
  timer_.set(std::min(read_deadline_, write_deadline_));
}

void ClientConnection::on_timer(void* self) {
  auto& connection = *static_cast<ClientConnection*>(self);
  const auto now = std::chrono::steady_clock::now();
  if (connection.write_deadline_ <= now) return connection.close();
  if (connection.read_deadline_ <= now) connection.on_read_deadline();
  if (connection.phase_ == Phase::kClosed) return;
  connection.timer_.set(std::min(connection.read_deadline_, connection.write_deadline_));
}

void ClientConnection::on_read_deadline() {
  read_deadline_ = Clock::time_point::max();
  if (phase_ != Phase::kOpen) return close();
  if (!exchange_) {
    if (parser_.idle()) return close();
    return refuse_head({408, "the request head did not come in time"});
  }
  if (decoder_.complete()) return;
  if (!exchange_->wants_body()) return set_read_deadline(services_.config.limits.body_timeout);
  refuse_body(408, "body_timeout");
}

}  // namespace saola::proxy
