// The ASGI host when its edge dies and another takes its place.
#include <gmock/gmock.h>
#include <sched.h>

#include <atomic>
#include <future>

#include "loops.h"

namespace saola::backend::asgi {
namespace {

using testing::HasSubstr;

class AsgiReconnectTest : public AsgiTest {
 protected:
  void await_break() {
    const auto deadline = std::chrono::steady_clock::now() + FakeEdge::kPatience;
    while (!channel().broken()) {
      ASSERT_LT(std::chrono::steady_clock::now(), deadline);
      ::sched_yield();
    }
  }
};

constexpr const char* kApp = R"(
import asyncio
served, events = 0, []
def released():
    try: stop()
    except RuntimeError: return False
    return True
async def app(scope, receive, send):
    global served
    if scope["type"] != "http": return
    served += 1
    path = scope["path"]
    if path == "/listen":
        await receive()
        events.append((await receive())["type"])
    elif path == "/upload":
        while True:
            message = await receive()
            if message["type"] == "http.disconnect": break
        events.append("upload broken off")
    elif path == "/turns":
        await receive()
        await receive()
        for _ in range(1000): await asyncio.sleep(0)
        stop()
    elif path == "/orphan":
        await receive()
        await receive()
        events.append("orphan")
        while not released(): await asyncio.sleep(0.001)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if path == "/large":
        await send({"type": "http.response.body", "body": b"x" * 3000, "more_body": True})
        events.append("large went on")
    await send({"type": "http.response.body", "body": str(served).encode()})
)";

TEST_P(AsgiReconnectTest, ServesTheNewEdgeAfterABreakWhileIdle) {
  serve(kApp, [&](FakeEdge& edge) {
    EXPECT_EQ(edge.exchange({}).body, "1");
    edge.hang_up();
    await_break();
    EXPECT_EQ(reconnect().exchange({}).body, "2");
  });
}

TEST_P(AsgiReconnectTest, SurvivesManyBreaks) {
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

TEST_P(AsgiReconnectTest, TheLoopDoesNotWatchADeadEdge) {
  std::promise<void> turned;
  boot_hook_ = [&] { turned.set_value(); };
  serve(kApp, [&](FakeEdge& edge) {
    const auto turns = edge.request({.path = "/turns"});
    while (!edge.is_claimed(turns)) ::sched_yield();
    edge.hang_up();
    await_break();
    const std::uint64_t before = channel().activity();
    turned.get_future().wait();
    // 1000 turns of the loop; what is readable for ever would be seen in each.
    EXPECT_LT(channel().activity() - before, 100U);
    EXPECT_EQ(reconnect().exchange({}).body, "2");
  });
}

TEST_P(AsgiReconnectTest, WhatRunsHearsThatItsClientHasGone) {
  serve(kApp, [&](FakeEdge& edge) {
    const auto listening = edge.request({.path = "/listen"});
    FakeRequest upload{.method = ipc::Method::kPost, .path = "/upload", .body_length = 100};
    const auto uploading = edge.request(upload);
    edge.body(uploading, "some", false);
    while (!edge.is_claimed(listening) || !edge.is_claimed(uploading)) ::sched_yield();
    edge.hang_up();
    EXPECT_EQ(reconnect().exchange({}).body, "3");
  });
  EXPECT_THAT(evaluate("sorted(events)"), HasSubstr("'http.disconnect', 'upload broken off'"));
}

TEST_P(AsgiReconnectTest, AnAnswerWhoseWindowIsUsedUpGoesOn) {
  window_ = 1000;
  serve(kApp, [&](FakeEdge& edge) {
    const auto large = edge.request({.path = "/large"});
    edge.partial(large, 1000);
    edge.hang_up();
    EXPECT_EQ(reconnect().exchange({}).body, "2");
  });
  EXPECT_EQ(evaluate("events"), "['large went on']");
  EXPECT_THAT(log(), testing::Not(HasSubstr("error")));
}

TEST_P(AsgiReconnectTest, NoMoreRunAtOnceThanAllowed) {
  app_.concurrency = 2;
  std::atomic<bool> release{false};
  boot_hook_ = [&] {
    if (!release) throw std::runtime_error("not yet");
  };
  serve(kApp, [&](FakeEdge& edge) {
    const auto first = edge.request({.path = "/orphan"});
    const auto second = edge.request({.path = "/orphan"});
    while (!edge.is_claimed(first) || !edge.is_claimed(second)) ::sched_yield();
    edge.hang_up();
    FakeEdge& next = reconnect();
    const auto waiting = next.request({});
    const auto answer = next.settled(waiting);
    EXPECT_EQ(answer.heads, 0);
    EXPECT_FALSE(next.is_claimed(waiting));
    release = true;
    EXPECT_EQ(next.answer(waiting).status, 200);
  });
  EXPECT_EQ(evaluate("events"), "['orphan', 'orphan']");
}

TEST_P(AsgiReconnectTest, DrainsWithoutAnEdge) {
  serve(kApp, [&](FakeEdge& edge) {
    edge.exchange({});
    edge.hang_up();
    await_break();
  });
  EXPECT_EQ(evaluate("served"), "1");
}

SAOLA_ON_BOTH_LOOPS(AsgiReconnectTest);

}  // namespace
}  // namespace saola::backend::asgi
