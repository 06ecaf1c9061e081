#include "proxy/exchange.h"

#include <algorithm>
#include <limits>

#include "common/config/units.h"
#include "proxy/edge_services.h"
#include "proxy/upstream.h"
#include "proxy/worker_connection.h"

namespace saola::proxy {
namespace {

// Credit is given back in steps: a frame per 64 KiB, not per chunk.
constexpr std::uint64_t kCreditStep = ipc::kResponseWindow / 4;
// A complete body up to this goes right behind its head; a larger one waits for other heads.
constexpr std::size_t kPromptBody = 8 * 1024;

bool is_hop_by_hop(std::uint8_t id) {
  switch (id) {
    case ipc::field::kConnection:
    case ipc::field::kKeepAlive:
    case ipc::field::kProxyConnection:
    case ipc::field::kTe:
    case ipc::field::kTrailer:
    case ipc::field::kTransferEncoding:
    case ipc::field::kUpgrade:
    case ipc::field::kExpect:
      return true;
    default:
      return false;
  }
}

// True if `name` is among the options of the Connection field (RFC 9110 section 7.6.1).
bool named_by_connection(std::string_view name, const std::vector<ipc::Field>& fields) {
  for (const auto& field : fields) {
    if (field.name_id != ipc::field::kConnection) continue;
    std::string_view rest = field.value;
    while (!rest.empty()) {
      const auto comma = rest.find(',');
      auto option = rest.substr(0, comma);
      rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
      while (!option.empty() && (option.front() == ' ' || option.front() == '\t')) {
        option.remove_prefix(1);
      }
      while (!option.empty() && (option.back() == ' ' || option.back() == '\t')) {
        option.remove_suffix(1);
      }
      const auto same = [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a + 32 : a) == b; };
      if (std::equal(option.begin(), option.end(), name.begin(), name.end(), same)) return true;
    }
  }
  return false;
}

}  // namespace

Exchange::Exchange(EdgeServices& services, Downstream& downstream)
    : services_(services), downstream_(downstream) {}

Exchange::~Exchange() { detach(); }

void Exchange::enter(State state) {
  SAOLA_CHECK(state_ != State::kDone);
  state_ = state;
}

// Takes back the pointers that the upstream side holds.
void Exchange::detach() {
  if (state_ == State::kQueued) upstream_->remove(*this);
  if (worker_ != nullptr) worker_->cancel(*this, ipc::AbortReason::kClientGone);
  worker_ = nullptr;
}

void Exchange::finish(std::string_view outcome) {
  detach();
  if (upstream_ != nullptr) upstream_->on_finished(services_.loop.now() - started);
  outcome_ = outcome;
  enter(State::kDone);
}

// ---- admission ---------------------------------------------------------------------------------

void Exchange::start(Upstream& upstream) {
  upstream_ = &upstream;
  if (!upstream.has_room()) {
    return refuse(503, "queue_full", "Retry-After: 1\r\n");
  }
  const bool whole = upstream.whole_requests();
  if (head.has_body()) {
    body_ = std::make_unique<RequestBody>(
        services_.file_pool, services_.spool_space,
        RequestBody::Options{whole, services_.config.limits.body_buffer},
        [this] { on_body_stored(); });
  }
  if (!whole || !body_) {
    queued_at_ = services_.loop.now();
    enter(State::kQueued);
    upstream_->enqueue(*this);
  }
}

void Exchange::start_at(Upstream& upstream, WorkerConnection& worker) {
  upstream_ = &upstream;
  queued_at_ = services_.loop.now();
  worker.send(*this);
}

void Exchange::refuse(int status, std::string_view outcome, std::string_view extra_fields) {
  status_ = status;
  finish(outcome);
  downstream_.send_refusal(status, extra_fields);
}

// What went wrong between edge and worker, told to the client as far as that is still possible.
void Exchange::fail(int status, std::string_view outcome, std::string_view extra_fields) {
  if (head_sent_) {
    worker_broke_ = true;
    outcome_ = outcome;
    return pump_response();
  }
  refuse(status, outcome, extra_fields);
}

// ---- the request's body ------------------------------------------------------------------------

void Exchange::on_body(std::string_view data) {
  if (state_ == State::kDone || !body_) return;
  body_->append(data);
  on_body_stored();
}

void Exchange::on_body_end() {
  if (state_ == State::kDone || !body_) return;
  body_->end();
  on_body_stored();
}

// The body has grown, or the disk has taken some of it.
void Exchange::on_body_stored() {
  if (state_ == State::kDone) return;
  if (const Error* error = body_->failed()) {
    services_.log.write(LogLevel::kError, "request body: " + error->message, request_id);
    return fail(503, "spool_failed", "Retry-After: 10\r\n");
  }
  if (state_ == State::kReceiving) {
    if (!body_->settled()) return downstream_.on_body_wanted();
    queued_at_ = services_.loop.now();
    enter(State::kQueued);
    return upstream_->enqueue(*this);
  }
  pump_body();
  downstream_.on_body_wanted();
}

void Exchange::pump_body() {
  if (worker_ == nullptr || !body_ || body_->in_file() || request_end_sent_) return;
  for (;;) {
    const auto window = static_cast<std::size_t>(request_window_);
    const auto data = body_->unsent(std::min(window, ipc::kMaxPayload));
    const std::size_t size = data.size();
    const bool first = request_window_ == ipc::kRequestWindow;
    const bool last = body_->complete() && body_->unsent(size + 1).size() == size;
    if (size == 0 && !last) return;
    worker_->send_body(stream_, data, last, first && last && size <= kPromptBody);
    request_window_ -= static_cast<std::int64_t>(size);
    body_->mark_sent(size);
    if (last) {
      request_end_sent_ = true;
      return;
    }
  }
}

void Exchange::on_request_credit(std::uint32_t bytes) {
  if (!body_) return;
  body_->forget_sent();  // credit comes from a worker that runs the request
  request_window_ += bytes;
  pump_body();
  downstream_.on_body_wanted();
}

// ---- the way to a worker -----------------------------------------------------------------------

void Exchange::on_sent(WorkerConnection& worker, std::uint32_t stream) {
  worker_ = &worker;
  stream_ = stream;
  worker_facts_ = {worker.pid(), worker.id(), worker.generation()};
  sent_at_ = services_.loop.now();
  request_window_ = ipc::kRequestWindow;
  request_end_sent_ = false;
  enter(State::kSent);
}

void Exchange::queue_again() {
  worker_ = nullptr;
  if (body_) body_->rewind();
  enter(State::kQueued);
  upstream_->enqueue(*this);
}

void Exchange::on_taken_back() { queue_again(); }

void Exchange::on_worker_lost(bool claimed) {
  worker_ = nullptr;
  if (!claimed) return queue_again();
  const bool may_retry = !head_sent_ && ipc::is_idempotent(head.method) &&
                         retries_ < services_.config.limits.retries &&
                         (!body_ || body_->replayable());
  if (may_retry) {
    ++retries_;
    queued_at_ = services_.loop.now();  // its time in a worker was no waiting
    return queue_again();
  }
  services_.log.write(LogLevel::kError,
                      fmt::format("worker {} died while it ran this request; the client gets {}",
                                  worker_facts_.id, head_sent_ ? "a broken-off answer" : "502"),
                      request_id);
  fail(502, "worker_lost");
}

void Exchange::on_queue_timeout() {
  enter(State::kReceiving);  // it has left the queue already
  services_.log.write(
      LogLevel::kWarning,
      fmt::format("no worker of app '{}' was free within queue_timeout; 503", upstream_->name()),
      request_id);
  refuse(503, "queue_timeout", "Retry-After: 1\r\n");
}

std::string_view Exchange::upstream_state() const {
  if (worker_facts_.pid == 0) return {};
  if (worker_ended_) return "complete";
  return head_at_ != Clock::time_point() ? "begun" : "silent";
}

bool Exchange::client_holds() const {
  if (!downstream_.has_room() || (store_ && !store_->empty())) return true;
  // Of a streamed body the worker has all that has come, and room for more.
  return body_ && !body_->complete() && body_->all_sent() && request_window_ > 0;
}

void Exchange::on_request_timeout(std::string_view outcome, config::Milliseconds limit) {
  services_.log.write(
      LogLevel::kWarning,
      fmt::format("{} = {} passed: {} in worker {} (pid {}); {}", outcome,
                  config::format_duration(limit), request_line(), worker_facts_.id,
                  worker_facts_.pid, head_sent_ ? "the answer is broken off" : "504"),
      request_id);
  worker_->cancel(*this, ipc::AbortReason::kTimeout);
  fail(504, outcome);
}

std::string Exchange::request_line() const {
  constexpr std::size_t kLongestPath = 200;
  std::string text(head.method == ipc::Method::kOther ? std::string_view(head.method_text)
                                                      : ipc::method_name(head.method));
  text += ' ';
  text += std::string_view(head.raw_path).substr(0, kLongestPath);
  return text;
}

// ---- the answer --------------------------------------------------------------------------------

void Exchange::on_worker_head(const ipc::ResponseHeadView& response, bool end, bool interim) {
  if (state_ == State::kDone) return;
  if (head_sent_) return on_worker_abort();  // two heads: the worker has gone wrong
  if (interim) return downstream_.send_interim(response);
  if (body_) body_->forget_sent();
  enter(State::kResponding);
  status_ = response.status;
  head_at_ = services_.loop.now();
  head_sent_ = true;
  downstream_.send_head(response, end);
  if (!end) return;
  worker_ended_ = true;
  finish_response();
}

void Exchange::on_worker_body(std::string_view data, bool end) {
  if (state_ == State::kDone) return;
  if (!head_sent_) return on_worker_abort();
  if (!data.empty()) deliver(data);
  if (!end) return settle_credit();
  worker_ended_ = true;
  pump_response();
}

void Exchange::on_worker_trailers(const std::vector<ipc::Field>& trailers) {
  for (const auto& field : trailers) trailers_.emplace_back(field.name, field.value);
  on_worker_body({}, true);
}

void Exchange::on_worker_abort() {
  if (state_ == State::kDone) return;
  fail(502, "app_broken");
}

ResponseStore& Exchange::store() {
  if (!store_) {
    const auto& limits = services_.config.limits;
    const std::uint64_t spool = upstream_->whole_requests() ? limits.response_spool : 0;
    store_ = std::make_unique<ResponseStore>(services_.file_pool, services_.spool_space,
                                             ResponseStore::Options{limits.response_buffer, spool},
                                             [this] { pump_response(); });
  }
  return *store_;
}

void Exchange::deliver(std::string_view data) {
  credit_owed_ += data.size();
  if ((!store_ || store_->empty()) && downstream_.has_room()) {
    response_bytes_ += data.size();
    downstream_.send_body(data);
  } else {
    store().push(data);
  }
}

// Moves what is stored towards the client, and ends the answer once all of it has gone.
void Exchange::pump_response() {
  if (state_ == State::kDone) return;
  while (store_ && downstream_.has_room()) {
    const auto data = store_->front().substr(0, ipc::kMaxPayload);
    if (data.empty()) break;
    response_bytes_ += data.size();
    downstream_.send_body(data);
    store_->pop(data.size());
  }
  if (store_ && store_->failed()) {
    services_.log.write(LogLevel::kError, "a spooled answer could not be read back", request_id);
    finish("spool_failed");
    return downstream_.break_off();
  }
  if (store_ && !store_->empty()) return settle_credit();
  if (worker_broke_) {
    finish(outcome_);
    return downstream_.break_off();
  }
  if (worker_ended_) return finish_response();
  settle_credit();
}

void Exchange::finish_response() {
  std::vector<ipc::Field> trailers;
  for (const auto& [name, value] : trailers_) {
    trailers.push_back({ipc::header_name_id(name), name, value});
  }
  finish("ok");
  downstream_.send_end(trailers);
}

// The worker may send more once what it has sent is out of the way: gone, or stored within the
// limits.
void Exchange::settle_credit() {
  if (worker_ == nullptr || credit_owed_ < kCreditStep) return;
  if (store_ && !store_->empty() && !store_->has_room()) return;
  worker_->send_window(stream_, static_cast<std::uint32_t>(credit_owed_));
  credit_owed_ = 0;
}

void Exchange::on_client_gone(std::string_view outcome) {
  if (state_ != State::kDone) finish(outcome);
}

// ---- what the worker sees ----------------------------------------------------------------------

void Exchange::describe(ipc::RequestMeta& meta, std::vector<ipc::Field>& fields,
                        bool drop_underscores) const {
  meta.method = head.method;
  meta.version = head.version;
  meta.scheme = client.scheme;
  meta.client_port = client.port;
  meta.server_port = server_port;
  const auto waited =
      std::chrono::duration_cast<std::chrono::microseconds>(services_.loop.now() - queued_at_)
          .count();
  meta.queue_wait_us = static_cast<std::uint32_t>(
      std::clamp<std::int64_t>(waited, 0, std::numeric_limits<std::uint32_t>::max()));
  meta.body_length = body_ && body_->complete() ? static_cast<std::int64_t>(body_->received())
                                                : head.content_length;
  meta.method_text = head.method == ipc::Method::kOther ? head.method_text : std::string_view();
  meta.authority = client.authority ? std::string_view(*client.authority) : head.authority;
  meta.path = script_path;
  meta.raw_path = head.raw_path;
  meta.query = head.query;
  meta.client_host = client.host;
  meta.server_host = server_host;
  meta.request_id = request_id;
  meta.root_path = root_path;

  fields.clear();
  const auto source = forwarded_source;
  for (const auto& field : head.fields) {
    if (is_hop_by_hop(field.name_id) || field.name_id == ipc::field::kXRequestId) continue;
    if (field.name_id == 0) {
      if (drop_underscores && field.name.find('_') != std::string_view::npos) continue;
      if (has_connection_field && named_by_connection(field.name, head.fields)) continue;
    }
    if (is_stripped_forwarding_field(source, peer_trusted, field.name_id, field.name)) continue;
    fields.push_back(field);
    if (field.name_id == ipc::field::kHost && client.authority) {
      fields.back().value = *client.authority;
    }
  }
  fields.push_back({ipc::field::kXRequestId, "x-request-id", request_id});
}

}  // namespace saola::proxy
