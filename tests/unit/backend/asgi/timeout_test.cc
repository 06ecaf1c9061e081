// A request whose time is up: its client has the edge's 504, its task is cancelled.
#include <gmock/gmock.h>

#include <thread>

#include "asgi_fixture.h"
#include "loops.h"

namespace saola::backend::asgi {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr std::string_view kSource = R"(
import asyncio
seen = []
opened = None
async def app(scope, receive, send):
    global opened
    if scope["type"] != "http":
        raise NotImplementedError
    opened = opened or asyncio.Event()
    path = scope["path"]
    try:
        if path == "/sleep": await asyncio.sleep(600)
        if path == "/receive":
            while True: seen.append((await receive())["type"])
        if path == "/stream":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            while True:
                await send({"type": "http.response.body", "body": b"x" * 1000, "more_body": True})
        if path == "/held": await opened.wait()
        if path == "/open": opened.set()
    except asyncio.CancelledError:
        seen.append("cancelled")
        raise
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"fine"})
)";

class AsgiTimeout : public AsgiTest {
 protected:
  static std::uint32_t claimed(FakeEdge& edge, const std::string& path) {
    const auto stream = edge.request({.path = path, .request_id = "late-1"});
    while (!edge.is_claimed(stream)) std::this_thread::yield();
    return stream;
  }
};

TEST_P(AsgiTimeout, CancelsTheTaskAndNobodyElses) {
  window_ = 4000;
  serve(kSource, [](FakeEdge& edge) {
    const auto held = claimed(edge, "/held");
    for (const char* path : {"/sleep", "/receive", "/stream"}) {
      const auto stream = claimed(edge, path);
      edge.abort(stream, ipc::AbortReason::kTimeout);
      EXPECT_TRUE(edge.answer(stream).aborted) << path;
    }
    EXPECT_EQ(edge.exchange({.path = "/open"}).body, "fine");
    EXPECT_EQ(edge.answer(held).body, "fine");
  });
  EXPECT_EQ(evaluate("seen.count('cancelled')"), "3");
  EXPECT_THAT(log(), HasSubstr("request=late-1: its time was up; the task of the "
                               "ASGI application was cancelled"));
  EXPECT_THAT(log(), Not(HasSubstr(" error worker")));
}

TEST_P(AsgiTimeout, OneThatIgnoresItKeepsItsSlotUntilItEnds) {
  constexpr std::string_view kStubborn = R"(
import asyncio
seen = []
opened = None
async def app(scope, receive, send):
    global opened
    if scope["type"] != "http":
        raise NotImplementedError
    opened = opened or asyncio.Event()
    if scope["path"] == "/open": opened.set()
    if scope["path"] == "/stubborn":
        try: await asyncio.sleep(600)
        except asyncio.CancelledError: seen.append("swallowed")
        seen.append((await receive())["type"])
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"nobody reads this", "more_body": True})
    if scope["path"] == "/stubborn": await opened.wait()
    await send({"type": "http.response.body", "body": b"or this"})
)";
  serve(kStubborn, [](FakeEdge& edge) {
    const auto stream = claimed(edge, "/stubborn");
    edge.abort(stream, ipc::AbortReason::kTimeout);
    const FakeResponse meanwhile = edge.settled(stream);
    EXPECT_FALSE(meanwhile.aborted || meanwhile.ended);
    EXPECT_EQ(meanwhile.heads, 0);
    EXPECT_TRUE(edge.exchange({.path = "/open"}).ended);
    const FakeResponse answer = edge.answer(stream);
    EXPECT_TRUE(answer.aborted);
    EXPECT_EQ(answer.heads, 0);
  });
  EXPECT_EQ(evaluate("seen"), "['swallowed', 'http.disconnect']");
}

TEST_P(AsgiTimeout, WhatItRaisesInsteadIsLogged) {
  constexpr std::string_view kRaises = R"(
import asyncio
async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    try: await asyncio.sleep(600)
    except asyncio.CancelledError: raise ValueError("while cleaning up")
)";
  serve(kRaises, [](FakeEdge& edge) {
    const auto stream = claimed(edge, "/");
    edge.abort(stream, ipc::AbortReason::kTimeout);
    EXPECT_TRUE(edge.answer(stream).aborted);
  });
  EXPECT_THAT(log(), HasSubstr("Exception in ASGI application after its time was up"));
  EXPECT_THAT(log(), HasSubstr("ValueError: while cleaning up"));
}

TEST_P(AsgiTimeout, BackgroundWorkBehindACompleteAnswerIsNotItsBusiness) {
  constexpr std::string_view kBackground = R"(
import asyncio
seen = []
opened = None
async def app(scope, receive, send):
    global opened
    if scope["type"] != "http":
        raise NotImplementedError
    opened = opened or asyncio.Event()
    if scope["path"] == "/open": opened.set()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"fine"})
    if scope["path"] == "/background":
        await opened.wait()
        seen.append("done")
)";
  serve(kBackground, [](FakeEdge& edge) {
    const auto stream = claimed(edge, "/background");
    EXPECT_EQ(edge.answer(stream).body, "fine");
    edge.abort(stream, ipc::AbortReason::kTimeout);  // they crossed on the way
    EXPECT_EQ(edge.exchange({.path = "/open"}).body, "fine");
  });
  EXPECT_EQ(evaluate("seen"), "['done']");
}

SAOLA_ON_BOTH_LOOPS(AsgiTimeout);

}  // namespace
}  // namespace saola::backend::asgi
