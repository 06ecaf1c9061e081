#include "common/ipc/frame_queue.h"

#include <algorithm>
#include <cstring>

#include "common/core/check.h"

namespace saola::ipc {
namespace {

// A chunk takes frames until it has this much; a frame is never split over chunks. Small chunks in
// the body lane let heads in early, large ones save iovecs.
constexpr std::size_t kChunkFill = 32 * 1024;

void put_header(std::string& out, FrameType type, std::uint8_t flags, std::uint32_t stream,
                std::size_t length) {
  const FrameHeader header{stream, static_cast<std::uint16_t>(length), type, flags};
  char bytes[kHeaderSize];
  std::memcpy(bytes, &header, sizeof header);
  out.append(bytes, sizeof bytes);
}

}  // namespace

std::string FrameQueue::recycle() {
  std::string storage;
  storage.swap(spare_);
  storage.clear();
  return storage;
}

std::string& FrameQueue::open_chunk(Lane& lane) {
  if (lane.chunks.empty() || lane.chunks.back().fd.valid() ||
      lane.chunks.back().bytes.size() >= kChunkFill) {
    lane.chunks.push_back(Chunk{recycle(), UniqueFd()});
  }
  return lane.chunks.back().bytes;
}

void FrameQueue::append(Lane& lane, FrameType type, std::uint8_t flags, std::uint32_t stream,
                        std::string_view payload) {
  auto& chunk = open_chunk(lane);
  put_header(chunk, type, flags, stream, payload.size());
  chunk.append(payload);
  lane.bytes += kHeaderSize + payload.size();
  bytes_ += kHeaderSize + payload.size();
}

void FrameQueue::add(FrameType type, std::uint8_t flags, std::uint32_t stream,
                     std::string_view payload) {
  while (payload.size() > kMaxPayload) {
    append(lanes_[0], type, flags | kMore, stream, payload.substr(0, kMaxPayload));
    payload.remove_prefix(kMaxPayload);
  }
  append(lanes_[0], type, flags, stream, payload);
}

void FrameQueue::add_with_fd(FrameType type, std::uint8_t flags, std::uint32_t stream,
                             std::string_view payload, UniqueFd fd) {
  while (payload.size() > kMaxPayload) {
    append(lanes_[0], type, flags | kMore, stream, payload.substr(0, kMaxPayload));
    payload.remove_prefix(kMaxPayload);
  }
  lanes_[0].chunks.push_back(Chunk{recycle(), UniqueFd()});
  append(lanes_[0], type, flags | kFd, stream, payload);
  lanes_[0].chunks.back().fd = std::move(fd);
}

void FrameQueue::add_body(std::uint32_t stream, std::string_view body, bool end, bool prompt) {
  Lane& lane = lanes_[prompt ? 0 : 1];
  while (body.size() > kMaxPayload) {
    append(lane, FrameType::kBody, 0, stream, body.substr(0, kMaxPayload));
    body.remove_prefix(kMaxPayload);
  }
  if (!body.empty() || end) {
    append(lane, FrameType::kBody, static_cast<std::uint8_t>(end ? kEnd : 0), stream, body);
  }
}

void FrameQueue::add_after_body(FrameType type, std::uint8_t flags, std::uint32_t stream,
                                std::string_view payload) {
  SAOLA_CHECK(payload.size() <= kMaxPayload);
  append(lanes_[1], type, flags, stream, payload);
}

std::string& FrameQueue::begin_head() {
  auto& chunk = open_chunk(lanes_[0]);
  head_at_ = chunk.size();
  chunk.append(kHeaderSize, '\0');
  return chunk;
}

void FrameQueue::end_head(FrameType type, std::uint8_t flags, std::uint32_t stream) {
  auto& chunk = lanes_[0].chunks.back().bytes;
  const std::size_t length = chunk.size() - head_at_ - kHeaderSize;
  if (length > kMaxPayload) {
    const std::string payload = chunk.substr(head_at_ + kHeaderSize);
    chunk.resize(head_at_);
    return add(type, flags, stream, payload);
  }
  const FrameHeader header{stream, static_cast<std::uint16_t>(length), type, flags};
  std::memcpy(chunk.data() + head_at_, &header, sizeof header);
  lanes_[0].bytes += kHeaderSize + length;
  bytes_ += kHeaderSize + length;
}

FrameQueue::Batch FrameQueue::gather(std::span<iovec> space) {
  Batch batch;
  const auto take = [&](Lane& lane, std::size_t from, std::size_t limit) {
    for (std::size_t i = from; i < std::min(limit, lane.chunks.size()); ++i) {
      auto& chunk = lane.chunks[i];
      if (batch.count == space.size()) return false;
      const std::size_t sent = i == 0 ? lane.sent : 0;
      if (chunk.fd.valid() && sent == 0) {
        if (batch.count > 0) return false;
        batch.fd = chunk.fd.get();
      }
      if (chunk.bytes.size() > sent) {
        space[batch.count++] = {chunk.bytes.data() + sent, chunk.bytes.size() - sent};
      }
      if (batch.fd >= 0) return false;
    }
    return true;
  };
  // A body chunk that has begun must end before anything else: frames do not interleave.
  const bool body_begun = lanes_[1].sent > 0;
  if (body_begun && !take(lanes_[1], 0, 1)) return batch;
  if (!take(lanes_[0], 0, lanes_[0].chunks.size())) return batch;
  take(lanes_[1], body_begun ? 1 : 0, lanes_[1].chunks.size());
  return batch;
}

void FrameQueue::consume(std::size_t bytes) {
  SAOLA_CHECK(bytes <= bytes_);
  bytes_ -= bytes;
  // The same order as gather(): a begun body chunk, the first lane, the second.
  const auto drop = [&](Lane& lane, std::size_t chunks) {
    while (bytes > 0 && chunks-- > 0 && !lane.chunks.empty()) {
      auto& front = lane.chunks.front();
      const std::size_t step = std::min(bytes, front.bytes.size() - lane.sent);
      lane.sent += step;
      lane.bytes -= step;
      bytes -= step;
      if (step > 0) front.fd.reset();
      if (lane.sent < front.bytes.size()) return;
      if (front.bytes.capacity() > spare_.capacity()) spare_.swap(front.bytes);
      lane.chunks.pop_front();
      lane.sent = 0;
    }
  };
  if (lanes_[1].sent > 0) drop(lanes_[1], 1);
  drop(lanes_[0], lanes_[0].chunks.size());
  drop(lanes_[1], lanes_[1].chunks.size());
}

void FrameQueue::clear() {
  for (auto& lane : lanes_) {
    lane.chunks.clear();
    lane.sent = lane.bytes = 0;
  }
  bytes_ = 0;
}

}  // namespace saola::ipc
