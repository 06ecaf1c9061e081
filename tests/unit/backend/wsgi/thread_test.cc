// WSGI with several threads: requests share a queue, the main thread is one of the threads.
#include <gmock/gmock.h>

#include "wsgi_fixture.h"

namespace saola::backend::wsgi {
namespace {

class WsgiThreadTest : public WsgiTest {
 protected:
  WsgiThreadTest() { app_.threads = 4; }
};

TEST_F(WsgiThreadTest, RunsAsManyRequestsAtOnceAsThereAreThreads) {
  serve(R"(
import threading
barrier = threading.Barrier(4, timeout=20)
def app(environ, start_response):
    barrier.wait()
    start_response("200 OK", [])
    return [threading.current_thread().name.encode()]
)",
        [](FakeEdge& edge) {
          std::vector<std::uint32_t> streams;
          for (int i = 0; i < 4; ++i) streams.push_back(edge.request({}));
          std::vector<std::string> names;
          for (const auto stream : streams) names.push_back(edge.answer(stream).body);
          EXPECT_THAT(names,
                      testing::UnorderedElementsAre("MainThread", "wsgi-1", "wsgi-2", "wsgi-3"));
        });
}

TEST_F(WsgiThreadTest, SaysSoInEnviron) {
  EXPECT_EQ(get(show_environ("wsgi.multithread")).body, "wsgi.multithread=True\n");
}

TEST_F(WsgiThreadTest, AShortRequestDoesNotWaitForALongOne) {
  serve(R"(
import threading
done = threading.Event()
def app(environ, start_response):
    start_response("200 OK", [])
    if environ["PATH_INFO"] == "/long":
        done.wait(20)
        return [b"long"]
    if environ["PATH_INFO"] == "/done": done.set()
    return [b"short"]
)",
        [](FakeEdge& edge) {
          const auto slow = edge.request({.path = "/long"});
          for (int i = 0; i < 100; ++i) EXPECT_EQ(edge.exchange({}).body, "short");
          edge.exchange({.path = "/done"});
          EXPECT_EQ(edge.answer(slow).body, "long");
        });
}

TEST_F(WsgiThreadTest, WaitsForBodiesAndWindowsInSeveralThreadsAtOnce) {
  window_ = 1000;
  serve(R"(
def app(environ, start_response):
    data = environ["wsgi.input"].read()
    start_response("200 OK", [])
    return iter([data * 400])
)",
        [](FakeEdge& edge) {
          FakeRequest request;
          request.method = ipc::Method::kPost;
          request.body_length = 10;
          std::vector<std::uint32_t> streams;
          for (int i = 0; i < 4; ++i) streams.push_back(edge.request(request));
          for (const auto stream : streams) edge.body(stream, "01234", false);
          for (const auto stream : streams) edge.body(stream, "56789", true);
          for (const auto stream : streams) edge.partial(stream, 1000);
          for (const auto stream : streams) edge.window(stream, 10000);
          for (const auto stream : streams) EXPECT_EQ(edge.answer(stream).body.size(), 4000U);
        });
}

TEST_F(WsgiThreadTest, ServesManyRequests) {
  serve(R"(
def app(environ, start_response):
    start_response("200 OK", [])
    return [environ["PATH_INFO"].encode()]
)",
        [](FakeEdge& edge) {
          std::vector<std::uint32_t> streams;
          for (int i = 0; i < 2000; ++i) {
            streams.push_back(edge.request({.path = "/" + std::to_string(i)}));
          }
          for (std::size_t i = 0; i < streams.size(); ++i) {
            EXPECT_EQ(edge.answer(streams[i]).body, "/" + std::to_string(i));
          }
        });
}

}  // namespace
}  // namespace saola::backend::wsgi
