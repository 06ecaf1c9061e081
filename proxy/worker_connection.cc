#include "proxy/worker_connection.h"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "proxy/edge_report.h"
#include "proxy/edge_services.h"
#include "proxy/upstream.h"

namespace saola::proxy {
namespace {

// Reads of one turn: a worker that sends fast must not starve the clients.
constexpr int kReadsPerTurn = 4;
constexpr std::size_t kIovecs = 64;

struct Hello {
  std::uint32_t magic = ipc::kMagic;
  std::uint16_t version = ipc::kWireVersion;
  std::uint16_t reserved = 0;
  std::uint32_t response_window = ipc::kResponseWindow;
  std::uint32_t request_window = ipc::kRequestWindow;
};

template <class T>
std::string_view bytes_of(const T& value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

template <class T>
bool read_value(std::string_view payload, T& value) {
  if (payload.size() != sizeof value) return false;
  std::memcpy(&value, payload.data(), sizeof value);
  return true;
}

}  // namespace

WorkerConnection::WorkerConnection(EdgeServices& services, Upstream& upstream,
                                   const ipc::WorkerAdd& facts, UniqueFd socket,
                                   ipc::ClaimTable claims)
    : services_(services),
      upstream_(upstream),
      facts_(facts),
      socket_(std::move(socket)),
      watcher_(services.loop, socket_.get(), on_ready, this),
      claims_(std::move(claims)),
      slots_(claims_.slots()) {
  free_slots_.reserve(slots_.size());
  for (std::size_t i = slots_.size(); i > 0; --i) {
    free_slots_.push_back(static_cast<std::uint16_t>(i - 1));
  }
  load.slots = facts.slots;
  load.accepts = true;
  out_.add(ipc::FrameType::kHello, 0, 0, bytes_of(Hello{}));
  watcher_.watch(IoWatcher::kRead);
}

WorkerConnection::~WorkerConnection() = default;

// ---- out ---------------------------------------------------------------------------------------

void WorkerConnection::send(Exchange& exchange) {
  const std::size_t index = free_slots_.back();
  free_slots_.pop_back();
  const std::uint32_t stream = ipc::make_stream(++sequence_ & 0xffff, index);
  slots_[index] = {&exchange, stream, true, false};
  ++load.outstanding;
  oldest_unclaimed();  // forgets those in front that have been claimed: the list stays short
  unclaimed_.emplace_back(stream, services_.loop.now());
  claims_.offer(index, stream);

  upstream_.watch_times();

  exchange.on_sent(*this, stream);
  ipc::RequestMeta meta;
  exchange.describe(meta, services_.fields, facts_.whole_requests);
  RequestBody* body = exchange.body();
  if (body != nullptr && body->in_file()) {
    auto file = body->open_file();
    std::string payload;
    ipc::encode_request(payload, meta, services_.fields);
    if (file) {
      out_.add_with_fd(ipc::FrameType::kRequest, 0, stream, payload, std::move(*file));
    } else {
      // Without its body the request cannot run; the worker answers 503 for a lost descriptor.
      services_.log.write(LogLevel::kError, file.error().message, exchange.request_id);
      out_.add(ipc::FrameType::kRequest, ipc::kFd, stream, payload);
    }
    return;
  }
  ipc::encode_request(out_.begin_head(), meta, services_.fields);
  out_.end_head(ipc::FrameType::kRequest,
                body == nullptr ? std::uint8_t{ipc::kEnd} : std::uint8_t{0}, stream);
  exchange.pump_body();
}

void WorkerConnection::send_body(std::uint32_t stream, std::string_view data, bool end,
                                 bool prompt) {
  out_.add_body(stream, data, end, prompt);
}

void WorkerConnection::send_window(std::uint32_t stream, std::uint32_t credit) {
  out_.add(ipc::FrameType::kWindow, 0, stream, bytes_of(credit));
}

void WorkerConnection::cancel(Exchange& exchange, ipc::AbortReason reason) {
  const std::uint32_t stream = exchange.stream();
  Slot& slot = slots_[ipc::slot_of(stream)];
  if (slot.exchange != &exchange || slot.stream != stream) return;
  slot.exchange = nullptr;
  exchange.forget_worker();
  if (claims_.take_back(ipc::slot_of(stream), stream)) {
    release(slot);
    return upstream_.on_slot_free(*this);
  }
  if (const RequestTimes times = upstream_.times_of(exchange, facts_); times.any()) {
    abandoned_.insert_or_assign(stream,
                                Abandoned{exchange.request_id, exchange.request_line(), times});
  }
  send_abort(stream, reason);
}

void WorkerConnection::send_abort(std::uint32_t stream, ipc::AbortReason reason) {
  out_.add(ipc::FrameType::kAbort, 0, stream, bytes_of(reason));
}

void WorkerConnection::send_drain() { out_.add(ipc::FrameType::kDrain, 0, 0, {}); }

void WorkerConnection::take_back_unclaimed() {
  auto waiting = std::move(unclaimed_);
  unclaimed_.clear();
  for (const auto& [stream, sent_at] : waiting) {
    Slot& slot = slots_[ipc::slot_of(stream)];
    if (!slot.in_use || slot.stream != stream) continue;
    if (!claims_.take_back(ipc::slot_of(stream), stream)) continue;
    Exchange* exchange = slot.exchange;
    release(slot);
    if (exchange != nullptr) exchange->on_taken_back();
  }
}

Clock::time_point WorkerConnection::oldest_unclaimed() {
  while (!unclaimed_.empty()) {
    const auto& [stream, sent_at] = unclaimed_.front();
    const Slot& slot = slots_[ipc::slot_of(stream)];
    if (slot.in_use && slot.stream == stream && claims_.is_offered(ipc::slot_of(stream), stream)) {
      return sent_at;
    }
    unclaimed_.pop_front();
  }
  return Clock::time_point::max();
}

void WorkerConnection::release(Slot& slot) {
  free_slots_.push_back(static_cast<std::uint16_t>(&slot - slots_.data()));
  slot.in_use = false;
  if (slot.exchange == nullptr) forget_abandoned(slot);
  slot.exchange = nullptr;
  --load.outstanding;
}

void WorkerConnection::flush() {
  while (!out_.empty() && !broken_) {
    iovec space[kIovecs];
    const auto batch = out_.gather(space);
    msghdr message{};
    message.msg_iov = space;
    message.msg_iovlen = batch.count;
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    if (batch.fd >= 0) {
      message.msg_control = control;
      message.msg_controllen = sizeof control;
      cmsghdr* part = CMSG_FIRSTHDR(&message);
      part->cmsg_level = SOL_SOCKET;
      part->cmsg_type = SCM_RIGHTS;
      part->cmsg_len = CMSG_LEN(sizeof(int));
      std::memcpy(CMSG_DATA(part), &batch.fd, sizeof(int));
    }
    const auto sent = ::sendmsg(socket_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN && errno != EWOULDBLOCK && errno != ETOOMANYREFS) {
        const Error error = system_error("send to worker", errno);
        // It has ended, maybe after answers that are still to be read.
        out_.clear();
        receive_all();
        return fail(error.message);
      }
      return watcher_.watch(IoWatcher::kRead | IoWatcher::kWrite);
    }
    out_.consume(static_cast<std::size_t>(sent));
  }
  if (!broken_) watcher_.watch(IoWatcher::kRead);
}

// ---- in ----------------------------------------------------------------------------------------

void WorkerConnection::on_ready(void* self, short what) {
  auto& worker = *static_cast<WorkerConnection*>(self);
  if ((what & IoWatcher::kRead) != 0) worker.receive();
  if ((what & IoWatcher::kWrite) != 0) worker.flush();
}

void WorkerConnection::receive_all() {
  while (!broken_ && receive()) {
  }
}

bool WorkerConnection::receive() {
  for (int round = 0; round < kReadsPerTurn && !broken_; ++round) {
    const auto space = decoder_.prepare();
    const auto got = ::recv(socket_.get(), space.data(), space.size(), MSG_DONTWAIT);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return false;
    if (got < 0) {
      fail(system_error("receive from worker", errno).message);
      return false;
    }
    if (got == 0) {
      fail("the worker closed its connection");
      return false;
    }
    decoder_.commit(static_cast<std::size_t>(got));
    while (!broken_) {
      const auto frame = decoder_.next();
      if (!frame) break;
      handle(*frame);
    }
    if (decoder_.failed()) {
      fail("the worker sent a malformed frame");
      return false;
    }
    if (static_cast<std::size_t>(got) < space.size()) return true;
  }
  return !broken_;
}

void WorkerConnection::handle(const ipc::Frame& frame) {
  if (!greeted_) {
    Hello hello;
    if (frame.type != ipc::FrameType::kHello || !read_value(frame.payload, hello) ||
        hello.magic != ipc::kMagic || hello.version != ipc::kWireVersion) {
      return fail("the worker's greeting is not of this version");
    }
    greeted_ = true;
    return;
  }
  switch (frame.type) {
    case ipc::FrameType::kBody:
    case ipc::FrameType::kResponseHead:
    case ipc::FrameType::kTrailers:
    case ipc::FrameType::kAbort:
    case ipc::FrameType::kWindow:
      return handle_stream(frame);
    case ipc::FrameType::kPing:
      return out_.add(ipc::FrameType::kPong, 0, 0, frame.payload);
    case ipc::FrameType::kPong:
      return;
    case ipc::FrameType::kDrain:
      return upstream_.drain_worker(id());
    case ipc::FrameType::kHello:
    case ipc::FrameType::kRequest:
      break;
  }
  fail("the worker sent a frame that only the edge sends");
}

void WorkerConnection::handle_stream(const ipc::Frame& frame) {
  const std::size_t index = ipc::slot_of(frame.stream);
  if (index >= slots_.size()) return fail("the worker named a stream that cannot be");
  Slot& slot = slots_[index];
  if (!slot.in_use || slot.stream != frame.stream) {
    return fail("the worker answered a request that it does not have");
  }
  slot.heard = true;
  Exchange* exchange = slot.exchange;
  const bool end = (frame.flags & ipc::kEnd) != 0 || frame.type == ipc::FrameType::kAbort ||
                   frame.type == ipc::FrameType::kTrailers;
  // The slot is free before the exchange hears of it: what it does next may need one.
  if (end) {
    release(slot);
    // How long this one took: since it was sent, or since the one before it ended.
    const auto now = services_.loop.now();
    const auto began =
        exchange != nullptr ? std::max(exchange->sent_at(), last_progress) : last_progress;
    load.lively = now - began < Upstream::kMoment;
    last_progress = now;
    load.stalled = false;
    if (exchange != nullptr) exchange->forget_worker();
  }
  if (exchange != nullptr) {
    switch (frame.type) {
      case ipc::FrameType::kResponseHead:
        if (!ipc::decode_response_head(frame.payload, head_)) {
          exchange->on_worker_abort();
          return fail("the worker sent a malformed response head");
        }
        exchange->on_worker_head(head_, end, (frame.flags & ipc::kInterim) != 0);
        break;
      case ipc::FrameType::kBody:
        exchange->on_worker_body(frame.payload, end);
        break;
      case ipc::FrameType::kTrailers:
        if (!ipc::decode_trailers(frame.payload, trailers_)) {
          exchange->on_worker_abort();
          return fail("the worker sent malformed trailers");
        }
        exchange->on_worker_trailers(trailers_);
        break;
      case ipc::FrameType::kWindow: {
        std::uint32_t credit = 0;
        if (!read_value(frame.payload, credit)) return fail("the worker sent a malformed WINDOW");
        exchange->on_request_credit(credit);
        break;
      }
      default:
        exchange->on_worker_abort();
        break;
    }
  }
  if (end) upstream_.on_slot_free(*this);
}

void WorkerConnection::add_to(ipc::EdgeReport& report) const {
  const auto now = services_.loop.now();
  for (std::size_t index = 0; index < slots_.size(); ++index) {
    const Slot& slot = slots_[index];
    if (!slot.in_use || slot.exchange == nullptr) continue;
    const bool begun = !claims_.is_offered(index, slot.stream);
    report.requests.push_back(describe_running(*slot.exchange, id(), begun, now));
  }
}

// ---- the end -----------------------------------------------------------------------------------

void WorkerConnection::fail(std::string reason) {
  if (broken_) return;
  broken_ = true;
  load.accepts = false;
  watcher_.watch(0);
  upstream_.on_worker_broken(*this, std::move(reason));
}

void WorkerConnection::fail_all() {
  broken_ = true;
  load.accepts = false;
  watcher_.watch(0);
  for (std::size_t index = 0; index < slots_.size(); ++index) {
    Slot& slot = slots_[index];
    if (!slot.in_use) continue;
    Exchange* exchange = slot.exchange;
    const bool claimed = !claims_.take_back(index, slot.stream);
    release(slot);
    if (exchange == nullptr) continue;
    exchange->forget_worker();
    exchange->on_worker_lost(claimed);
  }
  unclaimed_.clear();
  out_.clear();
}

}  // namespace saola::proxy
