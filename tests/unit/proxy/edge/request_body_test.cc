#include "proxy/request_body.h"

#include <unistd.h>

#include "tests/unit/proxy/edge/spool_fixture.h"

namespace saola::proxy {
namespace {

using RequestBodyTest = SpoolFixture;

std::string read_all(int fd) {
  std::string out;
  char space[65536];
  ssize_t got = 0;
  while ((got = ::read(fd, space, sizeof space)) > 0) out.append(space, std::size_t(got));
  return out;
}

TEST_F(RequestBodyTest, ASmallWholeBodyStaysInMemory) {
  RequestBody body(pool_, space_, {true, 1000}, [] {});
  body.append("a=1&");
  EXPECT_FALSE(body.settled());
  body.append("b=2");
  body.end();
  EXPECT_TRUE(body.settled());
  EXPECT_FALSE(body.in_file());
  EXPECT_EQ(body.unsent(100), "a=1&b=2");
}

TEST_F(RequestBodyTest, ALargeWholeBodyIsInAFileThatOpensReadOnly) {
  RequestBody body(pool_, space_, {true, 1000}, [] {});
  const std::string data = pattern(3'000'000);
  for (std::size_t at = 0; at < data.size(); at += 50000) {
    ASSERT_TRUE(run_until([&] { return !body.paused(); }));
    body.append(std::string_view(data).substr(at, 50000));
  }
  body.end();
  ASSERT_TRUE(run_until([&] { return body.settled(); }));
  ASSERT_TRUE(body.in_file());
  auto file = body.open_file();
  ASSERT_TRUE(file);
  EXPECT_TRUE(read_all(file->get()) == data);
  EXPECT_EQ(::write(file->get(), "x", 1), -1);
  EXPECT_EQ(body.received(), data.size());
}

TEST_F(RequestBodyTest, AFullSpoolIsReported) {
  SpoolSpace small(directory_, 100'000);
  bool told = false;
  RequestBody body(pool_, small, {true, 1000}, [&] { told = true; });
  for (int i = 0; i < 8; ++i) body.append(pattern(50000));
  ASSERT_TRUE(run_until([&] { return body.failed() != nullptr; }));
  EXPECT_NE(body.failed()->message.find("spool_total"), std::string::npos);
  EXPECT_FALSE(body.paused());  // what still comes is thrown away
  EXPECT_TRUE(told);
}

TEST_F(RequestBodyTest, AStreamedBodyCanBeSentAgainUntilTheRequestRuns) {
  RequestBody body(pool_, space_, {false, 1000}, [] {});
  body.append("abcdef");
  body.mark_sent(4);
  EXPECT_EQ(body.unsent(10), "ef");
  EXPECT_TRUE(body.replayable());
  body.rewind();
  EXPECT_EQ(body.unsent(10), "abcdef");
  body.mark_sent(4);
  body.forget_sent();
  EXPECT_FALSE(body.replayable());
  EXPECT_EQ(body.unsent(10), "ef");
}

TEST_F(RequestBodyTest, AStreamedBodyPausesTheClientWhenTheWorkerTakesNothing) {
  RequestBody body(pool_, space_, {false, 1000}, [] {});
  while (!body.paused()) body.append(std::string(10000, 'x'));
  EXPECT_LT(body.received(), 300'000U);
  body.forget_sent();
  body.mark_sent(body.unsent(1 << 20).size());
  EXPECT_FALSE(body.paused());
}

}  // namespace
}  // namespace saola::proxy
