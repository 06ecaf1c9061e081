// What a body comes to; what is refused is in tests/corpus/http1.
#include "proxy/http1/body_decoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/http1_conversation.h"

namespace saola::proxy::http1 {
namespace {

using testing::ElementsAre;
using testing::Pair;

struct Decoded {
  std::string body;
  std::size_t taken = 0;
  int status = 0;
};

Decoded decode(BodyDecoder& decoder, std::string_view input, std::size_t piece) {
  Decoded decoded;
  while (!input.empty() && !decoder.complete()) {
    auto part = input.substr(0, piece);
    while (!part.empty() && !decoder.complete()) {
      const auto step = decoder.feed(part);
      if (!step) {
        decoded.status = step.error().status;
        return decoded;
      }
      decoded.body.append(step->data);
      decoded.taken += step->taken;
      part.remove_prefix(step->taken);
      input.remove_prefix(step->taken);
    }
  }
  return decoded;
}

constexpr std::string_view kChunks =
    "5\r\nhello\r\n1;a=\"b\"\r\n,\r\n00d\r\n big, big one\r\n0\r\nX-Sum: \t1 "
    "\r\nX-Empty:\r\n\r\nGET";

TEST(BodyDecoder, JoinsChunksHoweverTheBytesArrive) {
  for (const std::size_t piece : {1UL, 2UL, 7UL, 1UL << 20}) {
    BodyDecoder decoder;
    decoder.start_chunked({});
    const auto decoded = decode(decoder, kChunks, piece);
    EXPECT_EQ(decoded.body, "hello, big, big one") << piece;
    EXPECT_EQ(decoded.taken, kChunks.size() - 3) << "the next request is not touched";
    EXPECT_TRUE(decoder.complete());
    EXPECT_THAT(decoder.trailers(), ElementsAre(Pair("x-sum", "1"), Pair("x-empty", "")));
  }
}

TEST(BodyDecoder, CountsOutAContentLength) {
  for (const std::size_t piece : {1UL, 3UL, 100UL}) {
    BodyDecoder decoder;
    decoder.start_length(5);
    EXPECT_FALSE(decoder.complete());
    EXPECT_EQ(decode(decoder, "helloGET", piece).body, "hello");
    EXPECT_TRUE(decoder.complete());
    EXPECT_EQ(decoder.feed("GET").value().taken, 0U);
  }
}

TEST(BodyDecoder, IsCompleteWithoutABody) {
  BodyDecoder decoder;
  EXPECT_TRUE(decoder.complete());
  decoder.start_length(0);
  EXPECT_TRUE(decoder.complete());
}

TEST(BodyDecoder, StartsAfreshForEachBody) {
  BodyDecoder decoder;
  for (int i = 0; i < 2; ++i) {
    decoder.start_chunked({});
    EXPECT_EQ(decode(decoder, kChunks, 4).body.size(), 19U);
    EXPECT_EQ(decoder.trailers().size(), 2U);
  }
  decoder.start_length(1);
  EXPECT_TRUE(decoder.trailers().empty());
}

TEST(BodyDecoder, TakesABodyAsLongAsTheLimitAndNoLonger) {
  const BodyLimits limits{.body_bytes = 6};
  const auto status = [&](std::string_view bytes) {
    BodyDecoder decoder;
    decoder.start_chunked(limits);
    return decode(decoder, bytes, 3).status;
  };
  EXPECT_EQ(status("6\r\nabcdef\r\n0\r\n\r\n"), 0);
  EXPECT_EQ(status("3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n"), 0);
  EXPECT_EQ(status("7\r\n"), 413);
  EXPECT_EQ(status("5\r\nabcde\r\n2\r\n"), 413);
  EXPECT_EQ(status("5\r\nabcde\r\nffffffffffffffff\r\n"), 413);
}

TEST(BodyDecoder, DoesNotLetTheSumOfSizesOverflow) {
  BodyDecoder decoder;
  decoder.start_chunked({});
  EXPECT_EQ(decode(decoder, "7fffffffffffffff\r\n", 100).status, 0);
  decoder.start_chunked({});
  EXPECT_EQ(decode(decoder, "1\r\na\r\n7fffffffffffffff\r\n", 100).status, 413);
  decoder.start_chunked({});
  EXPECT_EQ(decode(decoder, "8000000000000000\r\n", 100).status, 413);
}

TEST(BodyDecoder, RemembersAnError) {
  BodyDecoder decoder;
  decoder.start_chunked({});
  ASSERT_FALSE(decoder.feed("x"));
  EXPECT_EQ(decoder.feed("0\r\n\r\n").error().status, 400);
  EXPECT_FALSE(decoder.feed(""));
  EXPECT_FALSE(decoder.complete());
}

TEST(BodyDecoder, BoundsTrailersTogether) {
  BodyDecoder decoder;
  decoder.start_chunked({.trailer_bytes = 10});
  EXPECT_EQ(decode(decoder, "0\r\nA: bc\r\nD: ef\r\n\r\n", 3).status, 0);
  decoder.start_chunked({.trailer_bytes = 10});
  EXPECT_EQ(decode(decoder, "0\r\nA: bc\r\nD: efg\r\n\r\n", 3).status, 431);
}

}  // namespace
}  // namespace saola::proxy::http1
