// ClientConnection, the part that makes an exchange of a request head and decides who answers it.
#include "proxy/client_connection.h"
#include "proxy/request_target.h"
#include "proxy/upstream.h"

namespace saola::proxy {
namespace {

constexpr std::string_view kAllow = "Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n";
// A client that has gone before it got a status; nginx uses the same number.
constexpr int kClientGone = 499;

// The host of an authority, without port and brackets.
std::string_view host_of(std::string_view authority) {
  if (!authority.empty() && authority.front() == '[') {
    const auto end = authority.find(']');
    return end == std::string_view::npos ? authority : authority.substr(1, end - 1);
  }
  return authority.substr(0, authority.rfind(':'));
}

}  // namespace

void ClientConnection::begin_exchange() {
  ++requests_;
  exchange_ = std::make_unique<Exchange>(services_, *this);
  Exchange& exchange = *exchange_;
  exchange.started = services_.loop.now();
  parser_.take_head(exchange.head);
  read_deadline_ = Clock::time_point::max();
  answered_ = broken_off_ = accounted_ = false;
  framing_ = http1::Framing::kNone;
  decoder_ = http1::BodyDecoder();
  body_received_ = 0;
  response_field_count_ = 0;

  const auto& limits = services_.config.limits;
  keep_alive_ = exchange.head.keep_alive &&
                (limits.keepalive_requests == 0 || requests_ < limits.keepalive_requests);
  describe_client(exchange);

  // Until its limit is known the body counts as unread: a refusal closes the connection.
  if (exchange.head.chunked) {
    decoder_.start_chunked({});
  } else if (exchange.head.content_length > 0) {
    decoder_.start_length(static_cast<std::uint64_t>(exchange.head.content_length));
  }
  const auto host = host_of(exchange.client.authority ? std::string_view(*exchange.client.authority)
                                                      : exchange.head.authority);
  if (!answer_directly(exchange, host)) route(exchange, host);
}

void ClientConnection::describe_client(Exchange& exchange) {
  exchange.forwarded_source = listener_->config.forwarded;
  exchange.server_host = peer_.server_host;
  exchange.server_port = peer_.server_port;
  exchange.client.host = peer_.host;
  exchange.client.port = peer_.port;
  exchange.client.scheme = stream_->is_tls() ? ipc::Scheme::kHttps : ipc::Scheme::kHttp;
  const bool by_fields = exchange.forwarded_source == config::Forwarded::kXForwarded ||
                         exchange.forwarded_source == config::Forwarded::kRfc7239;
  if (by_fields) {
    exchange.peer_trusted = listener_->trusted.contains(peer_.host);
    exchange.client = resolve_client(exchange.forwarded_source, listener_->trusted, exchange.client,
                                     exchange.head.fields);
  }
  for (const auto& field : exchange.head.fields) {
    if (field.name_id == ipc::field::kConnection) exchange.has_connection_field = true;
    if (field.name_id == ipc::field::kXRequestId && exchange.request_id.empty() &&
        is_valid_request_id(field.value)) {
      exchange.request_id = field.value;
    }
  }
  if (exchange.request_id.empty()) services_.request_ids.next(exchange.request_id);
}

// What the edge answers without an app. True: done.
bool ClientConnection::answer_directly(Exchange& exchange, std::string_view host) {
  const auto& config = listener_->config;
  if (listener_->tls && config.tls->unknown_host == config::UnknownHost::kMisdirected &&
      !stream_->certificate_covers(host)) {
    exchange.refuse(421, "misdirected");
    return true;
  }
  if (config.redirect_https) {
    const auto bracket = host.find(':') != std::string_view::npos;
    std::string location = "Location: https://";
    location.append(bracket ? "[" : "").append(host).append(bracket ? "]" : "");
    if (config.redirect_port != 443) location += ":" + std::to_string(config.redirect_port);
    location.append(exchange.head.raw_path == "*" ? "/" : exchange.head.raw_path);
    if (!exchange.head.query.empty()) location.append("?").append(exchange.head.query);
    exchange.refuse(host.empty() ? 400 : 308, "redirected", host.empty() ? "" : location + "\r\n");
    return true;
  }
  if (exchange.head.form == http1::TargetForm::kAsterisk) {
    exchange.refuse(200, "ok", kAllow);
    return true;
  }
  const auto decoded = decode_path(exchange.head.raw_path, exchange.path);
  if (!decoded) {
    services_.log.write(
        LogLevel::kInfo,
        fmt::format("refused with {}: {}", decoded.error().status, decoded.error().reason),
        exchange.request_id);
    keep_alive_ = false;  // as after any other malformed head
    exchange.refuse(decoded.error().status, "refused");
    return true;
  }
  return false;
}

void ClientConnection::route(Exchange& exchange, std::string_view host) {
  const RouteMatch match = services_.router.match(host, exchange.path);
  if (match.route != nullptr) exchange.in_access_log = match.route->access_log;
  if (match.route != nullptr && !match.route->redirect.empty()) {
    std::string uri(exchange.head.raw_path);
    if (!exchange.head.query.empty()) uri.append("?").append(exchange.head.query);
    const auto location = redirect_location(match.route->redirect, host, uri);
    return exchange.refuse(match.route->redirect_status, "redirected",
                           "Location: " + location + "\r\n");
  }
  if (match.app.empty()) return exchange.refuse(404, "no_route");
  exchange.root_path = match.root_path;
  exchange.script_path = std::string_view(exchange.path).substr(match.root_path.size());
  std::uint64_t limit = services_.config.limits.body;
  if (match.route != nullptr) {
    limit = match.route->max_body.value_or(limit);
    exchange.route_timeout = match.route->request_timeout;
    exchange.route_max_time = match.route->request_max_time;
  }
  if (limit > 0 && exchange.head.content_length > static_cast<std::int64_t>(limit)) {
    return exchange.refuse(413, "body_limit");
  }
  Upstream& upstream = *services_.find_upstream(services_.edge, match.app);
  exchange.start(upstream);
  if (exchange.state() != Exchange::State::kDone) begin_body(exchange, limit);
}

void ClientConnection::begin_body(Exchange& exchange, std::uint64_t limit) {
  if (decoder_.complete()) return;
  if (exchange.head.chunked) {
    http1::BodyLimits limits;
    limits.body_bytes = limit;
    decoder_.start_chunked(limits);
  }
  body_started_ = services_.loop.now();
  set_read_deadline(services_.config.limits.body_timeout);
  // RFC 9110 section 10.1.1: HTTP/1.0 clients do not know it.
  if (exchange.head.expect_continue && exchange.head.version == ipc::HttpVersion::k11) {
    http1::write_continue(out_);
    mark_dirty();
  }
}

// A head that is refused has no exchange of its own yet; it gets one for its answer and log line.
void ClientConnection::refuse_head(const http1::HttpError& error) {
  exchange_ = std::make_unique<Exchange>(services_, *this);
  exchange_->started = services_.loop.now();
  exchange_->client.host = peer_.host;
  exchange_->client.port = peer_.port;
  services_.request_ids.next(exchange_->request_id);
  services_.log.write(
      LogLevel::kInfo,
      fmt::format("{}: request from {} refused with {}: {}", listener_->config.address,
                  peer_.host.empty() ? "unix" : peer_.host, error.status, error.reason),
      exchange_->request_id);
  decoder_ = http1::BodyDecoder();
  answered_ = broken_off_ = accounted_ = false;
  body_received_ = 0;
  response_field_count_ = 0;
  keep_alive_ = false;
  exchange_->refuse(error.status, "refused");
  account();
  begin_close(true);
}

// The body is wrong, too large or too slow.
void ClientConnection::refuse_body(int status, std::string_view outcome) {
  keep_alive_ = false;
  services_.log.write(LogLevel::kInfo, fmt::format("request body refused with {}", status),
                      exchange_->request_id);
  if (exchange_->state() == Exchange::State::kDone) return begin_close(true);
  if (exchange_->response_started()) {
    exchange_->on_client_gone(outcome);
    break_off();
  } else {
    exchange_->refuse(status, outcome);
  }
  account();
  begin_close(!broken_off_);
}

// The exchange has ended, or ends with its connection.
void ClientConnection::account() {
  if (std::exchange(accounted_, true)) return;
  const Exchange& exchange = *exchange_;
  const auto now = services_.loop.now();
  const bool sent = exchange.sent_at() != Clock::time_point();
  const bool answered = exchange.head_at() != Clock::time_point();
  RequestFacts facts;
  facts.method = exchange.head.method;
  facts.status = exchange.status() != 0 ? exchange.status() : kClientGone;
  facts.outcome = exchange.outcome();
  facts.total = now - exchange.started;
  if (sent) {
    facts.queue_wait = exchange.sent_at() - exchange.queued_at();
    facts.app_time = now - exchange.sent_at();
  }
  if (answered) facts.first_byte = exchange.head_at() - exchange.started;
  facts.request_bytes = body_received_;
  facts.response_bytes = exchange.response_bytes();
  facts.retries = exchange.retries();
  auto& metrics = exchange.upstream() != nullptr ? exchange.upstream()->metrics()
                                                 : services_.metrics->without_app();
  metrics.finished(facts);
  if (services_.access_writer != nullptr) log_access();
}

void ClientConnection::log_access() {
  const Exchange& exchange = *exchange_;
  if (!exchange.in_access_log) return;
  const bool failed = exchange.status() == 0 || exchange.status() >= 500;
  if (!failed && !services_.access_sample.takes_next()) return;
  using std::chrono::duration_cast;
  using std::chrono::microseconds;
  const auto now = services_.loop.now();
  const bool sent = exchange.sent_at() != Clock::time_point();
  AccessRecord record;
  record.finished = std::chrono::system_clock::now();
  record.client_host = exchange.client.host;
  record.client_port = exchange.client.port;
  record.method = exchange.head.method == ipc::Method::kOther
                      ? exchange.head.method_text
                      : ipc::method_name(exchange.head.method);
  if (exchange.head.target.empty()) record.method = {};
  record.target = exchange.head.target;
  record.raw_path = exchange.head.raw_path;
  record.query = exchange.head.query;
  record.version = exchange.head.version;
  record.scheme = exchange.client.scheme;
  record.authority = exchange.head.authority;
  record.status = exchange.status() != 0 ? exchange.status() : kClientGone;
  record.request_bytes = body_received_;
  record.response_bytes = exchange.response_bytes();
  record.total = duration_cast<microseconds>(now - exchange.started);
  if (sent) {
    record.queue_wait = duration_cast<microseconds>(exchange.sent_at() - exchange.queued_at());
    record.app_time = duration_cast<microseconds>(now - exchange.sent_at());
  }
  record.request_id = exchange.request_id;
  if (exchange.upstream() != nullptr) record.app = exchange.upstream()->name();
  record.worker_pid = exchange.worker_facts().pid;
  record.worker_id = exchange.worker_facts().id;
  record.generation = exchange.worker_facts().generation;
  record.retries = exchange.retries();
  record.tls_version = stream_->tls_version();
  record.upstream = exchange.upstream_state();
  record.outcome = exchange.outcome();
  record.request_fields = &exchange.head.fields;
  auto& response_fields = services_.fields;
  response_fields.clear();
  for (std::size_t i = 0; i < response_field_count_; ++i) {
    const auto& [name, value] = response_fields_[i];
    response_fields.push_back({ipc::header_name_id(name), name, value});
  }
  record.response_fields = &response_fields;
  services_.access_format->append(services_.access_lines, record);
}

}  // namespace saola::proxy
