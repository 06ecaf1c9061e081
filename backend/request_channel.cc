#include "backend/request_channel.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "common/ipc/frame.h"

namespace saola::backend {
namespace {

using ipc::FrameType;
using Clock = std::chrono::steady_clock;

// Credit goes back in steps: a WINDOW frame for every small read would cost more than the bytes.
constexpr std::uint32_t kCreditStep = 16 * 1024;
// Up to here the body travels with its head, ahead of other streams' bodies.
constexpr std::size_t kPromptBody = 16 * 1024;
constexpr std::size_t kPromptPiece = 4 * 1024;
// A batch of answers is written when it is this large or its first is kFlushAge old.
constexpr std::size_t kFlushBytes = 64 * 1024;
// Storage that a stream keeps for its slot's next request.
constexpr std::size_t kKeptBytes = 16 * 1024;

UniqueFd make_event_fd() {
  UniqueFd fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  SAOLA_CHECK(fd.valid());
  return fd;
}

std::string hello() {
  std::string payload(16, '\0');
  const auto put = [&](std::size_t at, auto value) {
    std::memcpy(payload.data() + at, &value, sizeof value);
  };
  put(0, ipc::kMagic);
  put(4, ipc::kWireVersion);
  put(8, ipc::kResponseWindow);
  put(12, ipc::kRequestWindow);
  return payload;
}

void shrink(std::string& text) {
  text.clear();
  if (text.capacity() > kKeptBytes) std::string().swap(text);
}

}  // namespace

RequestChannel::RequestChannel(UniqueFd socket, ipc::ClaimTable claims)
    : socket_(std::move(socket)),
      fd_(socket_.get()),
      wake_fd_(make_event_fd()),
      helper_fd_(make_event_fd()),
      claims_(std::move(claims)),
      table_(claims_.slots(), nullptr) {
  out_.add(FrameType::kHello, 0, 0, hello());
  mark_unflushed();
}

RequestChannel::~RequestChannel() = default;

// --- streams ------------------------------------------------------------------------------------

RequestStream* RequestChannel::find(std::uint32_t id) {
  const std::size_t slot = ipc::slot_of(id);
  auto* stream = slot < table_.size() ? table_[slot] : nullptr;
  return stream != nullptr && stream->id == id ? stream : nullptr;
}

// A fresh stream in the slot of `id`. The slot's last request was taken back or its answer has
// ended; if a host still has it (in close(), say), it goes on without the slot.
RequestStream& RequestChannel::occupy(std::uint32_t id) {
  const std::size_t slot = ipc::slot_of(id);
  vacate(slot);
  if (free_.empty()) free_.push_back(&storage_.emplace_back());
  auto* stream = free_.back();
  free_.pop_back();
  // While the app is stuck the edge may offer and take back for hours.
  if (queue_.size() > 2 * table_.size()) {
    std::erase_if(queue_, [&](std::uint32_t old) { return find(old) == nullptr; });
  }
  stream->id = id;
  table_[slot] = stream;
  return *stream;
}

void RequestChannel::vacate(std::size_t slot) {
  auto* stream = std::exchange(table_[slot], nullptr);
  if (stream == nullptr) return;
  if (!stream->claimed) {
    --queued_;  // its id in queue_ is stale from now on
    return release(*stream);
  }
  stream->detached = true;
  if (!stream->aborted) {
    stream->aborted = true;
    stream->abort_reason = ipc::AbortReason::kClientGone;
    mark_event(*stream);
  }
}

void RequestChannel::release(RequestStream& stream) {
  shrink(stream.head_bytes);
  shrink(stream.body);
  stream.request.fields.clear();
  stream.body_file.reset();
  stream.trailers.clear();
  stream.body_file_lost = stream.body_complete = stream.aborted = stream.claimed = false;
  stream.in_body_lane = stream.answer_ended = stream.wants_event = stream.detached = false;
  stream.seen_slow = false;
  stream.credit_owed = 0;
  stream.host = nullptr;
  free_.push_back(&stream);
}

void RequestChannel::mark_event(RequestStream& stream) {
  if (!stream.claimed || stream.wants_event) return;
  stream.wants_event = true;
  events_.push_back(&stream);
}

RequestStream* RequestChannel::claim_next() {
  const Lock lock(mutex_);
  if (draining_) return nullptr;
  while (!queue_.empty()) {
    const std::uint32_t id = queue_.front();
    queue_.pop_front();
    auto* stream = find(id);
    if (stream == nullptr || stream->claimed) continue;
    if (!claims_.claim(ipc::slot_of(id), id)) {
      if (!claims_.is_the_edges(ipc::slot_of(id))) {
        give_up_table();
        return nullptr;
      }
      vacate(ipc::slot_of(id));  // the edge gave it to another worker
      continue;
    }
    stream->claimed = true;
    stream->claimed_at = times_claims_ ? Clock::now() : recent_.load(std::memory_order_relaxed);
    stream->thread = static_cast<unsigned long>(::pthread_self());
    --queued_;
    ++in_flight_;
    // Stored, not added: what something else wrote there is set right.
    ++started_;
    if (counters_ != nullptr) {
      counters_->requests_started.store(started_, std::memory_order_relaxed);
    }
    return stream;
  }
  return nullptr;
}

// Nothing of the edge's offers can be believed any more. Answers that are finished still leave.
void RequestChannel::give_up_table() {
  flush_locked();
  break_off("the claim table has been overwritten");
  if (damage_hook_) std::exchange(damage_hook_, {})();
}

void RequestChannel::take_events(std::vector<RequestStream*>& streams) {
  const Lock lock(mutex_);
  streams.clear();
  std::size_t kept = 0;
  for (auto* stream : events_) {
    if (stream->host == nullptr) {
      events_[kept++] = stream;
    } else {
      stream->wants_event = false;
      streams.push_back(stream);
    }
  }
  events_.resize(kept);
}

// --- bodies of requests -------------------------------------------------------------------------

void RequestChannel::give_credit(RequestStream& stream, std::size_t bytes) {
  stream.credit_owed += static_cast<std::uint32_t>(bytes);
  if (stream.body_complete || stream.aborted || stream.credit_owed < kCreditStep) return;
  char credit[sizeof stream.credit_owed];
  std::memcpy(credit, &stream.credit_owed, sizeof credit);
  out_.add(FrameType::kWindow, 0, stream.id, std::string_view(credit, sizeof credit));
  stream.credit_owed = 0;
  mark_unflushed();
}

RequestChannel::BodyPart RequestChannel::take_body(RequestStream& stream, std::string& out,
                                                   std::size_t limit) {
  const Lock lock(mutex_);
  const std::size_t taken = std::min(limit, stream.body.size());
  if (taken == stream.body.size() && out.empty()) {
    out.swap(stream.body);
  } else {
    out.append(stream.body, 0, taken);
    stream.body.erase(0, taken);
  }
  give_credit(stream, taken);
  return {stream.body_complete && stream.body.empty(), stream.aborted};
}

// --- answers ------------------------------------------------------------------------------------

RequestChannel::HeadInProgress RequestChannel::begin_head(RequestStream& stream,
                                                          std::uint16_t status,
                                                          std::int64_t content_length,
                                                          std::string_view reason) {
  Lock lock(mutex_);
  scratch_.clear();
  std::string& out = stream.aborted || broken_ ? scratch_ : out_.begin_head();
  return HeadInProgress(std::move(lock), out, status, content_length, reason);
}

std::size_t RequestChannel::end_head([[maybe_unused]] HeadInProgress head, RequestStream& stream,
                                     std::string_view first_body, bool end, bool interim) {
  if (stream.aborted || broken_) return first_body.size();
  const bool bare = end && first_body.empty();
  out_.end_head(FrameType::kResponseHead,
                static_cast<std::uint8_t>((bare ? ipc::kEnd : 0) | (interim ? ipc::kInterim : 0)),
                stream.id);
  mark_unflushed();
  if (bare) stream.answer_ended = true;
  return first_body.empty() ? 0 : put_body(stream, first_body, end, true);
}

std::size_t RequestChannel::send_body(RequestStream& stream, std::string_view body, bool end) {
  const Lock lock(mutex_);
  if (stream.aborted || stream.answer_ended || broken_) return body.size();
  return put_body(stream, body, end, false);
}

std::size_t RequestChannel::put_body(RequestStream& stream, std::string_view body, bool end,
                                     bool with_head) {
  const auto window = static_cast<std::size_t>(std::max<std::int64_t>(stream.send_window, 0));
  const std::size_t taken = std::min(body.size(), window);
  const bool last = end && taken == body.size();
  if (taken == 0 && !last) return 0;
  if (out_.body_bytes() == 0) stream.in_body_lane = false;
  const bool prompt = !stream.in_body_lane && taken <= (with_head ? kPromptBody : kPromptPiece);
  stream.in_body_lane = !prompt;
  out_.add_body(stream.id, body.substr(0, taken), last, prompt);
  stream.send_window -= static_cast<std::int64_t>(taken);
  stream.answer_ended = last;
  mark_unflushed();
  return taken;
}

void RequestChannel::send_trailers(RequestStream& stream, const std::vector<ipc::Field>& trailers) {
  const Lock lock(mutex_);
  if (stream.aborted || stream.answer_ended || broken_) return;
  std::string payload;
  ipc::encode_trailers(payload, trailers);
  out_.add_after_body(FrameType::kTrailers, ipc::kEnd, stream.id, payload);
  stream.answer_ended = true;
  mark_unflushed();
}

void RequestChannel::send_abort(RequestStream& stream, ipc::AbortReason reason) {
  const Lock lock(mutex_);
  put_abort(stream, reason);
}

void RequestChannel::put_abort(RequestStream& stream, ipc::AbortReason reason) {
  if (stream.aborted || stream.answer_ended || broken_) return;
  const char byte = static_cast<char>(reason);
  out_.add_after_body(FrameType::kAbort, 0, stream.id, std::string_view(&byte, 1));
  stream.answer_ended = true;
  mark_unflushed();
}

bool RequestChannel::is_aborted(const RequestStream& stream) const {
  const Lock lock(mutex_);
  return stream.aborted || broken_;
}

bool RequestChannel::is_detached(const RequestStream& stream) const {
  const Lock lock(mutex_);
  return stream.detached;
}

void RequestChannel::finish(RequestStream& stream) {
  const Lock lock(mutex_);
  if (!stream.detached) {
    // Also what the edge has aborted is told ended: only then is its slot free there.
    stream.aborted = false;
    put_abort(stream, ipc::AbortReason::kAppFailed);
    table_[ipc::slot_of(stream.id)] = nullptr;
  }
  if (stream.wants_event) std::erase(events_, &stream);
  --in_flight_;
  ++finished_;
  if (counters_ != nullptr) {
    counters_->requests_finished.store(finished_, std::memory_order_relaxed);
  }
  release(stream);
}

// --- sending and life ---------------------------------------------------------------------------

void RequestChannel::flush() {
  const Lock lock(mutex_);
  flush_locked();
}

void RequestChannel::flush_if_due() {
  if (!unflushed_.load(std::memory_order_relaxed)) return;
  const Lock lock(mutex_);
  const auto now = Clock::now();
  note_time(now);
  if (out_.bytes() < kFlushBytes && now - unflushed_since_ < kFlushAge) return;
  flush_locked();
}

bool RequestChannel::flush_all(std::chrono::milliseconds limit) {
  const auto deadline = Clock::now() + limit;
  for (;;) {
    flush();
    if (broken()) return false;
    if (!has_unflushed()) return true;
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
    if (left.count() <= 0) return false;
    pollfd room{fd(), POLLOUT, 0};
    ::poll(&room, 1, static_cast<int>(left.count()));
  }
}

void RequestChannel::begin_drain(Clock::time_point deadline) {
  const Lock lock(mutex_);
  drain_deadline_ = std::min(drain_deadline_, deadline);
  if (draining_.exchange(true)) return;
  if (!broken_) {
    out_.add(FrameType::kDrain, 0, 0, {});
    mark_unflushed();
    flush_locked();
  }
  signal_wake();
  idle_.notify_all();
  progress_.notify_all();
}

std::chrono::steady_clock::time_point RequestChannel::drain_deadline() const {
  const Lock lock(mutex_);
  return drain_deadline_;
}

bool RequestChannel::edge_draining() const {
  const Lock lock(mutex_);
  return edge_draining_;
}

std::size_t RequestChannel::in_flight() const {
  const Lock lock(mutex_);
  return in_flight_;
}

std::size_t RequestChannel::queued() const {
  const Lock lock(mutex_);
  return queued_;
}

bool RequestChannel::broken() const { return broken_.load(std::memory_order_acquire); }

std::string RequestChannel::broken_reason() const {
  const Lock lock(mutex_);
  return broken_reason_;
}

void RequestChannel::reconnect(UniqueFd socket, ipc::ClaimTable claims) {
  const Lock lock(mutex_);
  break_off("a new edge has come");  // if nobody has noticed the end of the old one yet
  retired_.push_back(std::exchange(socket_, std::move(socket)));
  fd_.store(socket_.get(), std::memory_order_release);
  claims_ = std::move(claims);
  table_.assign(claims_.slots(), nullptr);
  queue_.clear();
  decoder_ = ipc::FrameDecoder();
  descriptors_.clear();
  hello_received_ = edge_draining_ = false;
  response_window_ = 0;
  broken_.store(false, std::memory_order_release);
  out_.add(FrameType::kHello, 0, 0, hello());
  if (draining_) out_.add(FrameType::kDrain, 0, 0, {});
  mark_unflushed();
  flush_locked();
  signal_wake();
}

int RequestChannel::watchable_fd() {
  const Lock lock(mutex_);
  retired_.clear();
  return broken_ ? -1 : socket_.get();
}

}  // namespace saola::backend
