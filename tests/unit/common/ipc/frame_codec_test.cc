// FrameQueue and FrameDecoder: frames come out as they went in, in the promised order.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "common/ipc/frame_decoder.h"
#include "common/ipc/frame_queue.h"

namespace saola::ipc {
namespace {

using testing::ElementsAre;

struct Seen {
  FrameType type;
  std::uint8_t flags;
  std::uint32_t stream;
  std::string payload;
  bool operator==(const Seen&) const = default;
};
void PrintTo(const Seen& frame, std::ostream* out) {
  *out << "type " << int(frame.type) << " flags " << int(frame.flags) << " stream " << frame.stream
       << " with " << frame.payload.size() << " bytes";
}

void drain(FrameDecoder& decoder, std::vector<Seen>& frames) {
  while (auto frame = decoder.next()) {
    frames.push_back({frame->type, frame->flags, frame->stream, std::string(frame->payload)});
  }
}

// Feeds `bytes` in pieces; the frames that came out.
std::vector<Seen> decode(FrameDecoder& decoder, std::string_view bytes, std::size_t piece) {
  std::vector<Seen> frames;
  while (!bytes.empty() && !decoder.failed()) {
    const auto space = decoder.prepare();
    const auto size = std::min({bytes.size(), piece, space.size()});
    std::memcpy(space.data(), bytes.data(), size);
    decoder.commit(size);
    bytes.remove_prefix(size);
    drain(decoder, frames);
  }
  return frames;
}

// Everything the queue has, written `step` bytes at a time with `iovs` iovecs at most.
std::string write_out(FrameQueue& queue, std::size_t step = 1 << 20, std::size_t iovs = 16) {
  std::string out;
  std::vector<iovec> space(iovs);
  while (!queue.empty()) {
    const auto batch = queue.gather(space);
    EXPECT_GT(batch.count, 0U);
    std::size_t left = step;
    std::size_t written = 0;
    for (std::size_t i = 0; i < batch.count && left > 0; ++i) {
      const auto size = std::min(left, space[i].iov_len);
      out.append(static_cast<const char*>(space[i].iov_base), size);
      left -= size;
      written += size;
    }
    queue.consume(written);
  }
  return out;
}

std::string frame_bytes(FrameType type, std::uint8_t flags, std::uint32_t stream,
                        std::string_view payload) {
  const FrameHeader header{stream, static_cast<std::uint16_t>(payload.size()), type, flags};
  std::string bytes(reinterpret_cast<const char*>(&header), sizeof header);
  return bytes.append(payload);
}

UniqueFd some_fd() { return UniqueFd(::dup(STDERR_FILENO)); }

TEST(FrameCodec, GivesFramesBackHoweverTheBytesArrive) {
  const std::string large(20'000, 'b');
  for (const std::size_t piece : {1UL, 2UL, 7UL, 4096UL, 1UL << 20}) {
    FrameQueue queue;
    queue.add(FrameType::kHello, 0, 0, "hello");
    queue.add(FrameType::kRequest, kEnd, make_stream(3, 7), "head");
    queue.add_body(9, large, true, false);
    queue.add(FrameType::kDrain, 0, 0, "");
    FrameDecoder decoder;
    EXPECT_THAT(
        decode(decoder, write_out(queue), piece),
        ElementsAre(Seen{FrameType::kHello, 0, 0, "hello"},
                    Seen{FrameType::kRequest, kEnd, make_stream(3, 7), "head"},
                    Seen{FrameType::kDrain, 0, 0, ""}, Seen{FrameType::kBody, kEnd, 9, large}))
        << piece;
    EXPECT_TRUE(decoder.empty());
    EXPECT_FALSE(decoder.failed());
  }
}

TEST(FrameCodec, CutsAndJoinsAHeadThatIsLongerThanAFrame) {
  for (const std::size_t size : {kMaxPayload - 1, kMaxPayload, kMaxPayload + 1, 3 * kMaxPayload,
                                 3 * kMaxPayload + 5, kMaxHead}) {
    const std::string head(size, 'h');
    FrameQueue queue;
    queue.add(FrameType::kRequest, kEnd, 5, head);
    queue.begin_head().append(head);
    queue.end_head(FrameType::kResponseHead, 0, 6);
    queue.add(FrameType::kPing, 0, 0, "12345678");
    FrameDecoder decoder;
    EXPECT_THAT(decode(decoder, write_out(queue), 100'000),
                ElementsAre(Seen{FrameType::kRequest, kEnd, 5, head},
                            Seen{FrameType::kResponseHead, 0, 6, head},
                            Seen{FrameType::kPing, 0, 0, "12345678"}))
        << size;
  }
}

TEST(FrameCodec, CutsBodiesAndMarksTheirLastPiece) {
  FrameQueue queue;
  queue.add_body(1, std::string(2 * kMaxPayload, 'a'), true, false);
  queue.add_body(2, std::string(kMaxPayload + 1, 'b'), false, false);
  queue.add_body(3, "", true, true);
  queue.add_body(4, "", false, true);  // nothing to say
  FrameDecoder decoder;
  EXPECT_THAT(decode(decoder, write_out(queue), 1 << 20),
              ElementsAre(Seen{FrameType::kBody, kEnd, 3, ""},
                          Seen{FrameType::kBody, 0, 1, std::string(kMaxPayload, 'a')},
                          Seen{FrameType::kBody, kEnd, 1, std::string(kMaxPayload, 'a')},
                          Seen{FrameType::kBody, 0, 2, std::string(kMaxPayload, 'b')},
                          Seen{FrameType::kBody, 0, 2, "b"}));
}

TEST(FrameQueue, LetsHeadsAndControlFramesOvertakeBodiesThatWait) {
  FrameQueue queue;
  queue.add_body(1, "first body", false, false);
  queue.add(FrameType::kRequest, kEnd, 2, "second head");
  queue.add(FrameType::kAbort, 0, 1, "x");
  FrameDecoder decoder;
  const auto frames = decode(decoder, write_out(queue), 1 << 20);
  ASSERT_EQ(frames.size(), 3U);
  EXPECT_EQ(frames[0].payload, "second head");
  EXPECT_EQ(frames[2].payload, "first body");
}

TEST(FrameQueue, KeepsPromptBodiesBehindTheirHeadAndTrailersBehindTheirBody) {
  FrameQueue queue;
  queue.add(FrameType::kResponseHead, 0, 1, "head");
  queue.add_body(1, "small", false, true);
  queue.add_body(1, "rest", false, false);
  queue.add_after_body(FrameType::kTrailers, kEnd, 1, "trailers");
  FrameDecoder decoder;
  std::vector<std::string> payloads;
  for (const auto& frame : decode(decoder, write_out(queue), 3)) payloads.push_back(frame.payload);
  EXPECT_THAT(payloads, ElementsAre("head", "small", "rest", "trailers"));
}

TEST(FrameQueue, NeverInterleavesFramesWhenWritesAreShort) {
  for (const std::size_t step : {7UL, 1000UL, 40'000UL}) {
    FrameQueue queue;
    FrameDecoder decoder;
    std::vector<Seen> frames;
    std::array<iovec, 2> space;
    std::size_t heads = 0;
    for (std::uint32_t i = 0; i < 5; ++i) queue.add_body(i, std::string(50'000, 'b'), true, false);
    while (!queue.empty()) {
      if (heads < 20)
        queue.add(FrameType::kRequest, kEnd, 100 + static_cast<std::uint32_t>(heads++), "h");
      const auto batch = queue.gather(space);
      std::string out;
      for (std::size_t i = 0; i < batch.count; ++i) {
        const auto size = std::min(space[i].iov_len, step - out.size());
        out.append(static_cast<const char*>(space[i].iov_base), size);
      }
      queue.consume(out.size());
      const auto more = decode(decoder, out, 1 << 20);
      frames.insert(frames.end(), more.begin(), more.end());
    }
    EXPECT_FALSE(decoder.failed()) << step;
    EXPECT_TRUE(decoder.empty()) << step;
    EXPECT_EQ(frames.size(), heads + 5 * 2) << step;
    std::size_t bytes = 0;
    for (const auto& frame : frames) {
      if (frame.type == FrameType::kBody) bytes += frame.payload.size();
    }
    EXPECT_EQ(bytes, 250'000U) << step;
  }
}

TEST(FrameQueue, CountsTheBytesThatWait) {
  FrameQueue queue;
  queue.add(FrameType::kPing, 0, 0, "12345678");
  queue.add_body(1, "abc", true, false);
  EXPECT_EQ(queue.bytes(), 2 * kHeaderSize + 11);
  EXPECT_EQ(queue.body_bytes(), kHeaderSize + 3);
  queue.consume(10);
  EXPECT_EQ(queue.bytes(), 2 * kHeaderSize + 1);
  queue.clear();
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(queue.body_bytes(), 0U);
  std::array<iovec, 4> space;
  EXPECT_EQ(queue.gather(space).count, 0U);
}

TEST(FrameQueue, SendsADescriptorAloneWithItsFrame) {
  FrameQueue queue;
  queue.add(FrameType::kPing, 0, 0, "before");
  queue.add_with_fd(FrameType::kRequest, kEnd, 1, "with", some_fd());
  queue.add(FrameType::kPing, 0, 0, "behind");
  std::array<iovec, 8> space;

  auto batch = queue.gather(space);
  EXPECT_EQ(batch.fd, -1);
  ASSERT_EQ(batch.count, 1U);
  queue.consume(space[0].iov_len);

  batch = queue.gather(space);
  EXPECT_GE(batch.fd, 0);
  ASSERT_EQ(batch.count, 1U);
  const int sent = batch.fd;
  queue.consume(1);  // the descriptor leaves with the first byte
  EXPECT_EQ(::fcntl(sent, F_GETFD), -1);

  batch = queue.gather(space);
  EXPECT_EQ(batch.fd, -1);
  FrameDecoder decoder;
  std::string rest = frame_bytes(FrameType::kRequest, kEnd | kFd, 1, "with").substr(0, 1);
  rest += write_out(queue);
  EXPECT_THAT(decode(decoder, rest, 5),
              ElementsAre(Seen{FrameType::kRequest, kEnd | kFd, 1, "with"},
                          Seen{FrameType::kPing, 0, 0, "behind"}));
}

TEST(FrameQueue, PutsTheDescriptorOfALongHeadWithItsLastPiece) {
  FrameQueue queue;
  queue.add_with_fd(FrameType::kRequest, kEnd, 1, std::string(kMaxPayload + 10, 'h'), some_fd());
  std::array<iovec, 8> space;
  EXPECT_EQ(queue.gather(space).fd, -1);
  queue.consume(kHeaderSize + kMaxPayload);
  EXPECT_GE(queue.gather(space).fd, 0);
}

TEST(FrameQueue, SendsADescriptorAfterABodyThatHasBegun) {
  FrameQueue queue;
  queue.add_body(1, "body", true, false);
  queue.consume(2);
  queue.add_with_fd(FrameType::kRequest, kEnd, 2, "with", some_fd());
  std::array<iovec, 8> space;
  auto batch = queue.gather(space);
  EXPECT_EQ(batch.fd, -1);
  EXPECT_EQ(batch.count, 1U);
  queue.consume(space[0].iov_len);
  EXPECT_GE(queue.gather(space).fd, 0);
}

class RefusedFrames : public testing::TestWithParam<std::string> {};

TEST_P(RefusedFrames, FailTheDecoder) {
  FrameDecoder decoder;
  EXPECT_TRUE(decode(decoder, GetParam(), 1 << 20).empty());
  EXPECT_TRUE(decoder.failed());
  EXPECT_FALSE(decoder.next().has_value());
}

INSTANTIATE_TEST_SUITE_P(All, RefusedFrames,
                         testing::Values(
                             // a payload over the limit
                             frame_bytes(FrameType::kBody, 0, 1, std::string(kMaxPayload + 1, 'x')),
                             // types that do not exist
                             frame_bytes(FrameType{0}, 0, 1, ""),
                             frame_bytes(FrameType{11}, 0, 1, "x"),
                             frame_bytes(FrameType{255}, 0, 1, "x"),
                             // only heads may be cut, and a piece is never empty
                             frame_bytes(FrameType::kBody, kMore, 1, "x"),
                             frame_bytes(FrameType::kWindow, kMore, 1, "x"),
                             frame_bytes(FrameType::kRequest, kMore, 1, ""),
                             // the pieces of a head follow each other
                             frame_bytes(FrameType::kRequest, kMore, 1, "x") +
                                 frame_bytes(FrameType::kRequest, 0, 2, "y"),
                             frame_bytes(FrameType::kRequest, kMore, 1, "x") +
                                 frame_bytes(FrameType::kBody, 0, 1, "y"),
                             frame_bytes(FrameType::kRequest, kMore, 1, "x") +
                                 frame_bytes(FrameType::kResponseHead, 0, 1, "y")));

TEST(FrameDecoder, RefusesAHeadThatGrowsWithoutEnd) {
  FrameDecoder decoder;
  const std::string piece =
      frame_bytes(FrameType::kRequest, kMore, 1, std::string(kMaxPayload, 'x'));
  std::size_t pieces = 0;
  while (!decoder.failed() && pieces < 1000) {
    decode(decoder, piece, 1 << 20);
    ++pieces;
  }
  EXPECT_EQ(pieces, kMaxHead / kMaxPayload + 1);
}

TEST(FrameDecoder, KnowsWhenAFrameIsCutShort) {
  FrameDecoder decoder;
  EXPECT_TRUE(decoder.empty());
  decode(decoder, frame_bytes(FrameType::kBody, 0, 1, "abc").substr(0, 9), 4);
  EXPECT_FALSE(decoder.empty());
  FrameDecoder joining;
  decode(joining, frame_bytes(FrameType::kRequest, kMore, 1, "abc"), 100);
  EXPECT_FALSE(joining.empty());
}

}  // namespace
}  // namespace saola::ipc
