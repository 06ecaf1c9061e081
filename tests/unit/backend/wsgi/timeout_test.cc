// A request whose time is up: its client has the edge's 504, the thread that runs it is
// interrupted.
#include <gmock/gmock.h>

#include <thread>

#include "wsgi_fixture.h"

namespace saola::backend::wsgi {
namespace {

using testing::HasSubstr;
using testing::Not;

// Paths that do not end by themselves; `seen` is what they were ended with.
constexpr std::string_view kStuck = R"(
import time
seen = []
def stuck(path):
    try:
        print("began", path)
        if path == "/loop":
            while True: pass
        if path == "/sleep": time.sleep(600)
        if path == "/naps":
            while True: time.sleep(0.005)
        if path == "/retries":
            while True:
                try: time.sleep(600)
                except Exception: seen.append("retried")
    except BaseException as error:
        seen.append(f"{type(error).__module__}.{type(error).__name__}")
        if path == "/stubborn": return
        raise
    finally:
        seen.append("cleaned up")
def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path != "/": stuck(path)
    start_response("200 OK", [])
    return [b"fine"]
)";

class WsgiTimeout : public WsgiTest {
 protected:
  // Until what the application prints is there, `count` times.
  static void await_log(const std::string& text, int count = 1) {
    const auto deadline = std::chrono::steady_clock::now() + FakeEdge::kPatience;
    for (;;) {
      const std::string log = test::CapturedLog::instance().text();
      std::size_t at = 0;
      int found = 0;
      while ((at = log.find(text, at)) != std::string::npos) ++found, ++at;
      if (found >= count) return;
      ASSERT_LT(std::chrono::steady_clock::now(), deadline) << log;
      std::this_thread::yield();
    }
  }
  // Ends a request for `path` by a time-out once it runs.
  static FakeResponse time_out(FakeEdge& edge, const std::string& path) {
    const auto stream = edge.request({.path = path, .request_id = "late-1"});
    await_log("began " + path);
    edge.abort(stream, ipc::AbortReason::kTimeout);
    return edge.answer(stream);
  }
};

TEST_F(WsgiTimeout, InterruptsWhatTheMainThreadDoesAndTheNextRequestIsServed) {
  for (const char* path : {"/loop", "/sleep", "/naps", "/retries"}) {
    test::CapturedLog::instance().clear();
    serve(kStuck, [&](FakeEdge& edge) {
      const auto answer = time_out(edge, path);
      EXPECT_TRUE(answer.aborted);  // the slot is the edge's again
      EXPECT_EQ(answer.heads, 0);
      EXPECT_EQ(edge.exchange({}).body, "fine");
    });
    EXPECT_EQ(evaluate("seen"), "['saola.RequestTimeout', 'cleaned up']") << path;
    EXPECT_THAT(log(), HasSubstr("request=late-1: GET " + std::string(path) + ": its time was up"));
    EXPECT_THAT(log(), Not(HasSubstr("Traceback")));
  }
}

TEST_F(WsgiTimeout, InterruptsTheOtherThreadsToo) {
  app_.threads = 4;
  for (const char* path : {"/loop", "/naps"}) {
    test::CapturedLog::instance().clear();
    serve(kStuck, [&](FakeEdge& edge) {
      std::vector<std::uint32_t> streams;
      for (int i = 0; i < 4; ++i) streams.push_back(edge.request({.path = path}));
      await_log(std::string("began ") + path, 4);
      for (const auto stream : streams) edge.abort(stream, ipc::AbortReason::kTimeout);
      for (const auto stream : streams) EXPECT_TRUE(edge.answer(stream).aborted);
      EXPECT_EQ(edge.exchange({}).body, "fine");
    });
    EXPECT_EQ(evaluate("seen.count('saola.RequestTimeout')"), "4") << path;
  }
}

TEST_F(WsgiTimeout, LeavesTheRequestsOfOtherThreadsAlone) {
  app_.threads = 4;
  serve(R"(
import threading, time
opened = threading.Event()
def app(environ, start_response):
    if environ["PATH_INFO"] == "/held": assert opened.wait(20)
    if environ["PATH_INFO"] == "/loop":
        print("began /loop")
        while True: pass
    if environ["PATH_INFO"] == "/open": opened.set()
    start_response("200 OK", [])
    return [b"fine"]
)",
        [](FakeEdge& edge) {
          const auto held = edge.request({.path = "/held"});
          for (int i = 0; i < 5; ++i) {
            test::CapturedLog::instance().clear();
            time_out(edge, "/loop");
          }
          EXPECT_EQ(edge.exchange({.path = "/open"}).body, "fine");
          EXPECT_EQ(edge.answer(held).body, "fine");
        });
}

TEST_F(WsgiTimeout, IsRaisedOncePerRequest) {
  serve(R"(
import time
seen = []
def app(environ, start_response):
    if environ["PATH_INFO"] == "/stubborn":
        for i in range(2):
            try:
                if i == 0: print("began /stubborn")
                time.sleep(600 if i == 0 else 0.2)
            except BaseException as error: seen.append(type(error).__name__)
    start_response("200 OK", [])
    return [b"fine"]
)",
        [](FakeEdge& edge) {
          EXPECT_EQ(time_out(edge, "/stubborn").heads, 0);
          EXPECT_EQ(edge.exchange({}).body, "fine");
        });
  EXPECT_EQ(evaluate("seen"), "['RequestTimeout']");
}

TEST_F(WsgiTimeout, EndsAStreamAndClosesIt) {
  serve(R"(
import time
seen = []
def app(environ, start_response):
    start_response("200 OK", [])
    def pieces():
        try:
            yield b"first"
            time.sleep(600)
        except BaseException as error:
            seen.append(type(error).__name__)
            raise
        finally:
            seen.append("closed")
    return pieces()
)",
        [](FakeEdge& edge) {
          const auto stream = edge.request({});
          EXPECT_EQ(edge.partial(stream, 5).body, "first");
          edge.abort(stream, ipc::AbortReason::kTimeout);
          EXPECT_TRUE(edge.answer(stream).aborted);
        });
  EXPECT_EQ(evaluate("seen"), "['RequestTimeout', 'closed']");
}

TEST_F(WsgiTimeout, AlsoEndsWhatItsClientHasLeft) {
  serve(kStuck, [](FakeEdge& edge) {
    const auto stream = edge.request({.path = "/sleep"});
    await_log("began /sleep");
    edge.abort(stream);
    edge.abort(stream, ipc::AbortReason::kTimeout);
    EXPECT_TRUE(edge.answer(stream).aborted);
  });
  EXPECT_EQ(evaluate("seen[0]"), "saola.RequestTimeout");
}

// The abort arrives before, within, or after the end of its request: never in the one behind it.
TEST_F(WsgiTimeout, ALateOneNeverHitsTheNextRequest) {
  for (const int threads : {1, 4}) {
    app_.threads = threads;
    serve(R"(
wrong = []
def app(environ, start_response):
    try:
        text = "".join(str(i) for i in range(50))
        start_response("200 OK", [])
        return [text.encode()]
    except BaseException:
        if environ["PATH_INFO"] == "/innocent": wrong.append(1)
        raise
)",
          [](FakeEdge& edge) {
            for (int i = 0; i < 500; ++i) {
              const auto late = edge.request({.path = "/late"});
              const auto innocent = edge.request({.path = "/innocent"});
              while (!edge.is_claimed(late)) std::this_thread::yield();
              for (int wait = i % 50; wait > 0; --wait) std::this_thread::yield();
              edge.abort(late, ipc::AbortReason::kTimeout);
              ASSERT_EQ(edge.answer(innocent).body.size(), 90U);
              edge.answer(late);
              ASSERT_EQ(edge.exchange({.path = "/innocent"}).body.size(), 90U);
            }
          });
    EXPECT_EQ(evaluate("wrong"), "[]");
    EXPECT_THAT(log(), Not(HasSubstr("Traceback")));
  }
}

}  // namespace
}  // namespace saola::backend::wsgi
