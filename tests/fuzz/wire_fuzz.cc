// The wire between edge and worker: frames in arbitrary pieces, then their payloads. What can be
// read is written again and must come out the same.
#include <algorithm>
#include <array>
#include <cstring>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "common/core/check.h"
#include "common/ipc/frame_decoder.h"
#include "common/ipc/frame_queue.h"
#include "common/ipc/messages.h"

namespace saola::ipc {
namespace {

struct Heard {
  FrameType type;
  std::uint8_t flags;
  std::uint32_t stream;
  std::string payload;
  bool operator==(const Heard&) const = default;
};

struct Outcome {
  std::vector<Heard> frames;
  bool failed = false;
  bool operator==(const Outcome&) const = default;
};

template <class NextPiece>
Outcome hear(std::string_view bytes, const NextPiece& next_piece) {
  FrameDecoder decoder(2 * (kMaxPayload + kHeaderSize));
  Outcome outcome;
  while (!bytes.empty() && !decoder.failed()) {
    const auto space = decoder.prepare();
    SAOLA_CHECK(!space.empty());
    const auto piece =
        std::min({bytes.size(), space.size(), std::max<std::size_t>(next_piece(), 1)});
    std::memcpy(space.data(), bytes.data(), piece);
    decoder.commit(piece);
    bytes.remove_prefix(piece);
    while (const auto frame = decoder.next()) {
      outcome.frames.push_back(
          {frame->type, frame->flags, frame->stream, std::string(frame->payload)});
    }
  }
  outcome.failed = decoder.failed();
  return outcome;
}

void check_request(std::string_view payload) {
  RequestView view, again;
  if (!decode_request(payload, view)) return;
  std::string bytes;
  encode_request(bytes, view.meta, view.fields);
  SAOLA_CHECK(bytes.size() == payload.size());
  // All but the byte that is reserved.
  SAOLA_CHECK(bytes.substr(0, 3) == payload.substr(0, 3) && bytes.substr(4) == payload.substr(4));
}

void check_response_head(std::string_view payload) {
  ResponseHeadView view;
  if (!decode_response_head(payload, view)) return;
  std::string bytes;
  ResponseHeadEncoder encoder(bytes, view.status, view.content_length, view.reason);
  for (const auto& f : view.fields) encoder.add(f.name_id, f.name, f.value);
  SAOLA_CHECK(bytes == payload);
}

void check_trailers(std::string_view payload) {
  std::vector<Field> fields;
  if (!decode_trailers(payload, fields)) return;
  std::string bytes;
  encode_trailers(bytes, fields);
  SAOLA_CHECK(bytes == payload);
}

// Frames through a queue with short writes and back: each stream's bodies in order, none lost.
void check_queue(const std::vector<Heard>& frames, std::minstd_rand& random) {
  FrameQueue queue;
  std::string bytes;
  std::array<iovec, 3> space;
  const auto write_some = [&] {
    const auto batch = queue.gather(space);
    std::size_t left = random() % 3000;
    std::size_t written = 0;
    for (std::size_t i = 0; i < batch.count; ++i) {
      const auto size = std::min(left, space[i].iov_len);
      bytes.append(static_cast<const char*>(space[i].iov_base), size);
      left -= size;
      written += size;
    }
    queue.consume(written);
  };
  for (const auto& frame : frames) {
    const auto flags = static_cast<std::uint8_t>(frame.flags & ~(kMore | kFd));
    if (frame.type == FrameType::kBody) {
      queue.add_body(frame.stream, frame.payload, true, random() % 2 == 0);
    } else {
      queue.add(frame.type, flags, frame.stream, frame.payload);
    }
    if (random() % 3 == 0) write_some();
  }
  while (!queue.empty()) write_some();
  SAOLA_CHECK(queue.bytes() == 0 && queue.body_bytes() == 0);

  auto sent = frames;
  for (auto& frame : sent) {
    frame.flags = static_cast<std::uint8_t>(frame.flags & ~(kMore | kFd));
    if (frame.type == FrameType::kBody) frame.flags = kEnd;
  }
  auto heard = hear(bytes, [&] { return 1 + random() % 5000; });
  SAOLA_CHECK(!heard.failed && heard.frames.size() == sent.size());
  const auto order = [](const Heard& a, const Heard& b) {
    return std::tie(a.type, a.flags, a.stream, a.payload) <
           std::tie(b.type, b.flags, b.stream, b.payload);
  };
  std::sort(sent.begin(), sent.end(), order);
  std::sort(heard.frames.begin(), heard.frames.end(), order);
  SAOLA_CHECK(heard.frames == sent);
}

}  // namespace
}  // namespace saola::ipc

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace saola::ipc;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  std::minstd_rand random(static_cast<unsigned>(std::hash<std::string_view>()(bytes)));
  const auto whole = hear(bytes, [&] { return size; });
  SAOLA_CHECK(hear(bytes, [&] { return 1 + random() % 20; }) == whole);
  for (const auto& frame : whole.frames) {
    if (frame.type == FrameType::kRequest) check_request(frame.payload);
    if (frame.type == FrameType::kResponseHead) check_response_head(frame.payload);
    if (frame.type == FrameType::kTrailers) check_trailers(frame.payload);
  }
  // Payloads also without a frame around them: then nothing but the decoder stands before them.
  check_request(bytes);
  check_response_head(bytes);
  check_trailers(bytes);
  check_queue(whole.frames, random);
  return 0;
}
