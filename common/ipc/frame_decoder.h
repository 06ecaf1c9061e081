// FrameDecoder: bytes of one direction of a wire connection -> frames. No I/O.
//
//   auto space = decoder.prepare();  recv(fd, space)  decoder.commit(n)
//   while (auto frame = decoder.next()) ...           // its payload dies with the next call
//   if (decoder.failed()) close the connection
//
// Joins the pieces of a cut head (kMore). Checks what frame.h says of each frame's size and flags,
// not of its payload.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "common/ipc/frame.h"

namespace saola::ipc {

struct Frame {
  FrameType type;
  std::uint8_t flags;
  std::uint32_t stream;
  std::string_view payload;
};

class FrameDecoder {
 public:
  // Room for at least one whole frame more.
  explicit FrameDecoder(std::size_t capacity = 256 * 1024);

  // Free space to read into; moves what is left of the last read to the front if it must.
  std::span<char> prepare();
  void commit(std::size_t bytes) { end_ += bytes; }

  // The next whole frame, or nothing: more bytes are needed, or failed().
  std::optional<Frame> next();

  bool failed() const { return failed_; }
  // True if the last commit() left no part of a frame behind.
  bool empty() const { return begin_ == end_ && joined_.empty(); }

 private:
  bool acceptable(const FrameHeader& header) const;

  std::size_t capacity_;
  std::unique_ptr<char[]> buffer_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  std::string joined_;       // pieces so far of a cut head
  std::string joined_done_;  // storage of the last joined head handed out
  std::uint32_t joined_stream_ = 0;
  FrameType joined_type_{};
  bool failed_ = false;
};

}  // namespace saola::ipc
