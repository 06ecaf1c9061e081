#include "common/ipc/frame_decoder.h"

#include <cstring>

#include "common/core/check.h"

namespace saola::ipc {

FrameDecoder::FrameDecoder(std::size_t capacity)
    : capacity_(capacity), buffer_(std::make_unique_for_overwrite<char[]>(capacity)) {
  SAOLA_CHECK(capacity >= 2 * (kMaxPayload + kHeaderSize));
}

std::span<char> FrameDecoder::prepare() {
  if (begin_ == end_) {
    begin_ = end_ = 0;
  } else if (begin_ > 0) {
    // What is left is less than one frame, or the caller stopped early: either way it is small
    // against the buffer.
    std::memmove(buffer_.get(), buffer_.get() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  return {buffer_.get() + end_, capacity_ - end_};
}

bool FrameDecoder::acceptable(const FrameHeader& header) const {
  if (header.length > kMaxPayload) return false;
  if (header.type < FrameType::kHello || header.type > FrameType::kDrain) return false;
  const bool cut = (header.flags & kMore) != 0;
  const bool is_head =
      header.type == FrameType::kRequest || header.type == FrameType::kResponseHead;
  if (cut && (!is_head || header.length == 0)) return false;
  // Pieces of one head follow each other directly.
  if (!joined_.empty() && (header.type != joined_type_ || header.stream != joined_stream_)) {
    return false;
  }
  return joined_.size() + header.length <= kMaxHead;
}

std::optional<Frame> FrameDecoder::next() {
  while (!failed_ && end_ - begin_ >= kHeaderSize) {
    FrameHeader header;
    std::memcpy(&header, buffer_.get() + begin_, sizeof header);
    if (!acceptable(header)) {
      failed_ = true;
      return std::nullopt;
    }
    if (end_ - begin_ - kHeaderSize < header.length) return std::nullopt;
    const std::string_view payload(buffer_.get() + begin_ + kHeaderSize, header.length);
    begin_ += kHeaderSize + header.length;

    if ((header.flags & kMore) != 0) {
      joined_.append(payload);
      joined_type_ = header.type;
      joined_stream_ = header.stream;
      continue;
    }
    if (joined_.empty()) return Frame{header.type, header.flags, header.stream, payload};
    joined_.append(payload);
    joined_done_.swap(joined_);
    joined_.clear();
    return Frame{header.type, header.flags, header.stream, joined_done_};
  }
  return std::nullopt;
}

}  // namespace saola::ipc
