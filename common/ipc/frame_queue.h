// FrameQueue: frames waiting to be written to a wire connection. No I/O.
//
// Two lanes. Heads and control frames take the first, body frames the second, and the first goes
// first: a large body never delays another stream's head. A small body may go with its head in the
// first lane (`prompt`); once a body of a stream has gone to the second lane, the caller sends the
// rest of that stream there too (bodies, TRAILERS, a worker's ABORT), so that it keeps its order.
//
//   n = queue.gather(iov, 16);  w = writev(...);  queue.consume(w)
//
// A frame that carries a descriptor is gathered alone, first in its batch, so that it starts a message of its own.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>

#include "common/core/unique_fd.h"
#include "common/ipc/frame.h"

namespace saola::ipc {

class FrameQueue {
 public:
  // Control frames and heads. Payloads above kMaxPayload are cut (heads only).
  void add(FrameType type, std::uint8_t flags, std::uint32_t stream, std::string_view payload);
  // The same, with a descriptor that leaves with it.
  void add_with_fd(FrameType type, std::uint8_t flags, std::uint32_t stream,
                   std::string_view payload, UniqueFd fd);
  // BODY frames, cut to kMaxPayload; the last has kEnd if `end`. An empty body with `end` is one empty frame.
  void add_body(std::uint32_t stream, std::string_view body, bool end, bool prompt);

  // TRAILERS and a worker's ABORT: behind all bodies.
  void add_after_body(FrameType type, std::uint8_t flags, std::uint32_t stream,
                      std::string_view payload);

  // Builds a head in place: begin_head() gives the string to append the payload to, end_head()
  // completes the frame. Nothing else may be added in between.
  std::string& begin_head();
  void end_head(FrameType type, std::uint8_t flags, std::uint32_t stream);

  struct Batch {
    std::size_t count = 0;  // of iovecs
    int fd = -1;            // to send along (still owned by the queue), or -1
  };
  Batch gather(std::span<iovec> space);
  void consume(std::size_t bytes);

  bool empty() const { return bytes_ == 0; }
  // All bytes that wait, headers included.
  std::size_t bytes() const { return bytes_; }
  std::size_t body_bytes() const { return lanes_[1].bytes; }
  void clear();

 private:
  struct Chunk {
    std::string bytes;
    UniqueFd fd;
  };
  // Chunks hold whole frames, so a lane may be left at any chunk's end. `sent` counts into the first.
  struct Lane {
    std::deque<Chunk> chunks;
    std::size_t sent = 0;
    std::size_t bytes = 0;
  };

  std::string& open_chunk(Lane& lane);
  void append(Lane& lane, FrameType type, std::uint8_t flags, std::uint32_t stream,
              std::string_view payload);
  std::string recycle();

  Lane lanes_[2];
  std::size_t bytes_ = 0;
  std::size_t head_at_ = 0;
  std::string spare_;  // a chunk's storage, kept to avoid an allocation per flush
};

}  // namespace saola::ipc
