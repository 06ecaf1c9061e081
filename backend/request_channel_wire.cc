// The wire side of RequestChannel: the socket, and what arriving frames do to the streams.
#include <sys/uio.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "backend/request_channel.h"
#include "common/ipc/frame.h"

namespace saola::backend {
namespace {

using ipc::Frame;
using ipc::FrameType;

// One receive() takes at most this many buffers' worth, so that a flood of bodies does not keep the
// app thread from its requests.
constexpr int kReadsPerTurn = 4;
// More unread bytes of one request than its credit: the edge is not what it says it is.
constexpr std::size_t kMostUnread = ipc::kRequestWindow + ipc::kMaxPayload;

template <class T>
bool read_value(std::string_view payload, T& value, std::size_t at = 0) {
  if (payload.size() < at + sizeof value) return false;
  std::memcpy(&value, payload.data() + at, sizeof value);
  return true;
}

}  // namespace

void RequestChannel::receive_some() {
  for (int i = 0; i < kReadsPerTurn && !broken_ && read_socket(); ++i) {
  }
}

// True if there may be more: the buffer was filled.
bool RequestChannel::read_socket() {
  const auto space = decoder_.prepare();
  iovec part{space.data(), space.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(4 * sizeof(int))> control;
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t got = ::recvmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (got < 0) {
    if (errno != EAGAIN && errno != EINTR) {
      break_off(system_error("receive from the edge", errno).message);
    }
    return false;
  }
  if (got == 0) {
    break_off("the edge has closed the connection");
    return false;
  }
  keep_descriptors(message);
  decoder_.commit(static_cast<std::size_t>(got));
  while (auto frame = decoder_.next()) {
    file(*frame);
    if (broken_) return false;
  }
  if (decoder_.failed()) break_off("the edge sent a malformed frame");
  return static_cast<std::size_t>(got) == space.size();
}

// At most one descriptor arrives with a read, for the next frame with kFd. One that was lost on the
// way (our descriptor limit) leaves a gap in its place, so that only its own request fails.
void RequestChannel::keep_descriptors(msghdr& message) {
  bool kept = false;
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr;
       part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(part) + i * sizeof fd, sizeof fd);
      UniqueFd owned(fd);
      if (!kept) descriptors_.push_back(std::move(owned));
      kept = true;
    }
  }
  if (!kept && (message.msg_flags & MSG_CTRUNC) != 0) descriptors_.emplace_back();
}

void RequestChannel::file(const Frame& frame) {
  if (!hello_received_ && frame.type != FrameType::kHello) {
    return break_off("the edge did not begin with HELLO");
  }
  switch (frame.type) {
    case FrameType::kHello:
      return file_hello(frame);
    case FrameType::kRequest:
      return file_request(frame);
    case FrameType::kBody:
      return file_body(frame);
    case FrameType::kTrailers:
      return file_trailers(frame);
    case FrameType::kAbort:
      return file_abort(frame);
    case FrameType::kWindow:
      return file_window(frame);
    case FrameType::kPing:
      out_.add(FrameType::kPong, 0, 0, frame.payload);
      return mark_unflushed();
    case FrameType::kPong:
      return;
    case FrameType::kDrain:
      edge_draining_ = true;
      return;
    case FrameType::kResponseHead:
      break;
  }
  break_off("the edge sent a frame that only workers send");
}

void RequestChannel::file_hello(const Frame& frame) {
  std::uint32_t magic = 0;
  std::uint16_t version = 0;
  std::uint32_t window = 0;
  if (!read_value(frame.payload, magic) || !read_value(frame.payload, version, 4) ||
      !read_value(frame.payload, window, 8) || magic != ipc::kMagic) {
    return break_off("the other side of the wire is not an edge");
  }
  if (version != ipc::kWireVersion) {
    return break_off("the edge speaks wire version " + std::to_string(version) + ", this worker " +
                     std::to_string(ipc::kWireVersion));
  }
  hello_received_ = true;
  response_window_ = window;
}

void RequestChannel::file_request(const Frame& frame) {
  if (ipc::slot_of(frame.stream) >= table_.size()) {
    return break_off("the edge sent a request with a slot beyond the claim table");
  }
  auto& stream = occupy(frame.stream);
  queue_.push_back(frame.stream);
  ++queued_;
  stream.head_bytes.assign(frame.payload);
  if (auto decoded = ipc::decode_request(stream.head_bytes, stream.request); !decoded) {
    return break_off(decoded.error().message);
  }
  if ((frame.flags & ipc::kFd) != 0) {
    if (!descriptors_.empty()) {
      stream.body_file = std::move(descriptors_.front());
      descriptors_.pop_front();
    }
    stream.body_file_lost = !stream.body_file.valid();
  }
  stream.body_complete = (frame.flags & (ipc::kEnd | ipc::kFd)) != 0;
  stream.send_window = response_window_;
}

void RequestChannel::file_body(const Frame& frame) {
  auto* stream = find(frame.stream);
  if (stream == nullptr || stream->aborted) return;
  if (stream->body_complete || stream->body.size() + frame.payload.size() > kMostUnread) {
    return break_off("the edge sent more of a body than it may");
  }
  stream->body.append(frame.payload);
  stream->body_complete = (frame.flags & ipc::kEnd) != 0;
  mark_event(*stream);
}

void RequestChannel::file_trailers(const Frame& frame) {
  auto* stream = find(frame.stream);
  if (stream == nullptr || stream->aborted) return;
  std::vector<ipc::Field> fields;
  if (auto decoded = ipc::decode_trailers(frame.payload, fields); !decoded) {
    return break_off(decoded.error().message);
  }
  for (const auto& field : fields) stream->trailers.emplace_back(field.name, field.value);
  stream->body_complete = true;
  mark_event(*stream);
}

void RequestChannel::file_abort(const Frame& frame) {
  auto* stream = find(frame.stream);
  std::uint8_t byte = 0;
  read_value(frame.payload, byte);
  const auto reason = static_cast<ipc::AbortReason>(byte);
  if (stream == nullptr) return;
  const bool timeout = reason == ipc::AbortReason::kTimeout;
  // Of a request that its client has left, the time may run out later.
  if (stream->aborted && (!timeout || stream->abort_reason == reason)) return;
  if (!stream->claimed) return vacate(ipc::slot_of(frame.stream));
  stream->aborted = true;
  stream->abort_reason = reason;
  if (timeout) report_timeout(*stream);
  mark_event(*stream);
}

void RequestChannel::file_window(const Frame& frame) {
  auto* stream = find(frame.stream);
  std::uint32_t credit = 0;
  if (!read_value(frame.payload, credit)) return break_off("WINDOW frame cut short");
  if (stream == nullptr) return;
  stream->send_window += credit;
  if (stream->claimed) mark_event(*stream);
}

// Says that `out_` holds something. The order matters: see helper_falls_asleep().
void RequestChannel::mark_unflushed() {
  if (unflushed_.load(std::memory_order_relaxed)) return;
  unflushed_since_ = std::chrono::steady_clock::now();
  unflushed_.store(true, std::memory_order_seq_cst);
  if (helper_asleep_.load(std::memory_order_seq_cst) && helper_asleep_.exchange(false)) {
    const std::uint64_t one = 1;
    if (::write(helper_fd_.get(), &one, sizeof one) < 0) {
      // Only EAGAIN is possible: the counter is at its limit, so the descriptor is readable.
    }
  }
}

void RequestChannel::flush_locked() {
  while (!out_.empty() && !broken_) {
    std::array<iovec, 16> parts;
    const auto batch = out_.gather(parts);
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = batch.count;
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    if (batch.fd >= 0) {
      message.msg_control = control.data();
      message.msg_controllen = control.size();
      auto* part = CMSG_FIRSTHDR(&message);
      part->cmsg_level = SOL_SOCKET;
      part->cmsg_type = SCM_RIGHTS;
      part->cmsg_len = CMSG_LEN(sizeof(int));
      std::memcpy(CMSG_DATA(part), &batch.fd, sizeof batch.fd);
    }
    const ssize_t sent = ::sendmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN || errno == EWOULDBLOCK) return;  // the next call, or the helper
      return break_off(system_error("send to the edge", errno).message);
    }
    out_.consume(static_cast<std::size_t>(sent));
  }
  unflushed_.store(false, std::memory_order_relaxed);
}

// The edge has gone: what runs is told that nobody wants its answer, what waits is dropped. If it
// is there after all (it sent nonsense), it hears that this is the end.
void RequestChannel::break_off(std::string reason) {
  if (broken_) return;
  broken_.store(true, std::memory_order_release);
  broken_reason_ = std::move(reason);
  ::shutdown(socket_.get(), SHUT_RDWR);
  out_.clear();
  unflushed_.store(false, std::memory_order_relaxed);
  for (std::size_t slot = 0; slot < table_.size(); ++slot) vacate(slot);
}

}  // namespace saola::backend
