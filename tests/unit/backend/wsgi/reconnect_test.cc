// The WSGI host when its edge dies and another takes its place: with one thread and with four.
#include <gmock/gmock.h>

#include "wsgi_fixture.h"

namespace saola::backend::wsgi {
namespace {

class WsgiReconnectTest : public WsgiTest, public testing::WithParamInterface<int> {
 protected:
  WsgiReconnectTest() { app_.threads = GetParam(); }
  void await_break() {
    const auto deadline = std::chrono::steady_clock::now() + FakeEdge::kPatience;
    while (!channel().broken()) {
      ASSERT_LT(std::chrono::steady_clock::now(), deadline);
      ::sched_yield();
    }
  }
};

constexpr const char* kApp = R"(
import itertools
count = itertools.count(1)
events = []
def app(environ, start_response):
    number = next(count)
    path = environ["PATH_INFO"]
    if path == "/upload":
        try:
            while environ["wsgi.input"].read(10): pass
        except OSError as error:
            events.append(type(error).__name__)
            raise
    start_response("200 OK", [])
    if path == "/large":
        def pieces():
            try:
                for _ in range(100): yield b"x" * 3000
            finally:
                events.append("closed")
        return pieces()
    return [str(number).encode()]
)";

TEST_P(WsgiReconnectTest, ServesTheNewEdgeAfterABreakWhileIdle) {
  serve(kApp, [&](FakeEdge& edge) {
    EXPECT_EQ(edge.exchange({}).body, "1");
    edge.hang_up();
    await_break();
    EXPECT_EQ(reconnect().exchange({}).body, "2");
  });
}

TEST_P(WsgiReconnectTest, SurvivesManyBreaks) {
  serve(kApp, [&](FakeEdge& edge) {
    edge.hang_up();
    for (int i = 1; i <= 20; ++i) {
      if (i % 2 == 0) await_break();
      FakeEdge& next = reconnect();
      EXPECT_EQ(next.exchange({}).body, std::to_string(i));
      next.hang_up();
    }
  });
}

TEST_P(WsgiReconnectTest, ABodyThatBreaksOffIsAClientThatHasGone) {
  // Its length is announced, so the application runs while it comes.
  serve(kApp, [&](FakeEdge& edge) {
    const auto upload =
        edge.request({.method = ipc::Method::kPost, .path = "/upload", .body_length = 100});
    edge.body(upload, "some", false);
    while (!edge.is_claimed(upload)) ::sched_yield();
    edge.hang_up();
    EXPECT_EQ(reconnect().exchange({}).body, "2");
  });
  EXPECT_EQ(evaluate("events"), "['ConnectionResetError']");
}

TEST_P(WsgiReconnectTest, AnAnswerWhoseWindowIsUsedUpEnds) {
  window_ = 1000;
  serve(kApp, [&](FakeEdge& edge) {
    const auto large = edge.request({.path = "/large"});
    edge.partial(large, 1000);
    edge.hang_up();
    EXPECT_EQ(reconnect().exchange({}).body, "2");
  });
  EXPECT_EQ(evaluate("events"), "['closed']");
}

TEST_P(WsgiReconnectTest, DrainsWithoutAnEdge) {
  serve(kApp, [&](FakeEdge& edge) {
    edge.exchange({});
    edge.hang_up();
    await_break();
  });
  EXPECT_EQ(evaluate("next(count)"), "2");
}

INSTANTIATE_TEST_SUITE_P(Threads, WsgiReconnectTest, testing::Values(1, 4));

}  // namespace
}  // namespace saola::backend::wsgi
