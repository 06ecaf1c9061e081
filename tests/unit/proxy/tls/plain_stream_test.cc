#include "proxy/plain_stream.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>

#include "tls_client.h"

namespace saola::proxy::testing {
namespace {

struct PlainPair {
  explicit PlainPair(std::string_view prefix = {}) {
    SocketPair sockets = make_socket_pair();
    stream = std::make_unique<PlainStream>(std::move(sockets.ours), prefix);
    client = std::move(sockets.theirs);
  }
  void send(std::string_view bytes) { ::send(client.get(), bytes.data(), bytes.size(), 0); }
  std::string read() {
    const ReadResult got = stream->read(space);
    return got.status == StreamStatus::kOk ? std::string(space.data(), got.bytes) : "";
  }
  std::unique_ptr<PlainStream> stream;
  UniqueFd client;
  std::array<char, 100> space;
};

TEST(PlainStream, GivesWhatWasReadBeforeItFirst) {
  PlainPair pair("GET /");
  pair.send(" HTTP/1.1");
  EXPECT_TRUE(pair.stream->has_buffered_input());
  EXPECT_EQ(pair.read(), "GET /");
  EXPECT_FALSE(pair.stream->has_buffered_input());
  EXPECT_EQ(pair.read(), " HTTP/1.1");
}

TEST(PlainStream, AsksTheSocketAgainOnlyAfterReadiness) {
  PlainPair pair;
  pair.send("one");
  EXPECT_EQ(pair.read(), "one");
  pair.send("two");
  EXPECT_EQ(pair.stream->read(pair.space).status, StreamStatus::kWouldBlock);
  pair.stream->on_readable();
  EXPECT_EQ(pair.read(), "two");
}

TEST(PlainStream, DeliversDataBeforeTheEnd) {
  PlainPair pair;
  pair.send("last");
  ::shutdown(pair.client.get(), SHUT_WR);
  EXPECT_EQ(pair.read(), "last");
  pair.stream->on_readable();
  EXPECT_EQ(pair.stream->read(pair.space).status, StreamStatus::kEof);
  pair.stream->write("answer");
  EXPECT_EQ(pair.stream->flush(), StreamStatus::kOk);
  EXPECT_EQ(read_socket(pair.client.get()), "answer");
}

TEST(PlainStream, KeepsWhatASlowReaderDoesNotTake) {
  PlainPair pair;
  const std::string body(3 << 20, 'b');
  pair.stream->write(body);
  pair.stream->end_output();
  EXPECT_EQ(pair.stream->flush(), StreamStatus::kWouldBlock);
  std::string got;
  while (got.size() < body.size()) {
    const std::string part = read_socket(pair.client.get(), 10000);
    ASSERT_FALSE(part.empty());
    got += part;
    ASSERT_NE(pair.stream->flush(), StreamStatus::kError);
    EXPECT_LE(pair.stream->pending_output(), body.size() - got.size());
  }
  EXPECT_TRUE(got == body);
  char byte = 0;
  EXPECT_EQ(::recv(pair.client.get(), &byte, 1, 0), 0) << "the end of output is a FIN";
}

TEST(PlainStream, AClientThatIsGoneIsAnErrorAndNoSignal) {
  PlainPair pair;
  pair.client.reset();
  pair.stream->write("answer");
  EXPECT_EQ(pair.stream->flush(), StreamStatus::kError);
  EXPECT_EQ(pair.stream->error(), "Broken pipe");
  EXPECT_EQ(pair.stream->read(pair.space).status, StreamStatus::kError);
  EXPECT_EQ(pair.stream->flush(), StreamStatus::kError);
}

}  // namespace
}  // namespace saola::proxy::testing
