#include <gmock/gmock.h>

#include <thread>

#include "asgi_fixture.h"
#include "loops.h"

namespace saola::backend::asgi {
namespace {

using testing::HasSubstr;
using testing::Not;

using LifespanEvents = AsgiTest;

constexpr std::string_view kWithState = R"(
events = []
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        events.append(scope["asgi"])
        scope["state"]["shared"] = ["from startup"]
        events.append((await receive())["type"])
        await send({"type": "lifespan.startup.complete"})
        events.append((await receive())["type"])
        await send({"type": "lifespan.shutdown.complete"})
        events.append("after the last message")
        return
    state = scope["state"]
    body = ",".join(state["shared"]) + ("!" if "own" in state else "")
    state["shared"].append("from a request")
    state["own"] = True
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body.encode()})
)";

TEST_P(LifespanEvents, SurroundTheRequestsAndShareTheirState) {
  serve(kWithState, [](FakeEdge& edge) {
    EXPECT_EQ(edge.exchange({}).body, "from startup");
    // A shallow copy: what the dict holds is shared, the dict itself is not.
    EXPECT_EQ(edge.exchange({}).body, "from startup,from a request");
  });
  EXPECT_EQ(variable("events"),
            "[{'version': '3.0', 'spec_version': '2.0'}, 'lifespan.startup', 'lifespan.shutdown', "
            "'after the last message']");
}

TEST_P(LifespanEvents, AreNotSentWhenOff) {
  app_.lifespan = config::Lifespan::kOff;
  constexpr std::string_view kSource = R"(
types = []
async def app(scope, receive, send):
    types.append(scope["type"])
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": repr(scope["state"]).encode()})
)";
  serve(kSource, [](FakeEdge& edge) { EXPECT_EQ(edge.exchange({}).body, "{}"); });
  EXPECT_EQ(variable("types"), "['http']");
}

constexpr std::string_view kWithout = R"(
async def app(scope, receive, send):
    assert scope["type"] == "http", "no lifespan here"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"served"})
)";

TEST_P(LifespanEvents, AnApplicationWithoutThemIsServedIfTheyAreAuto) {
  serve(kWithout, [](FakeEdge& edge) { EXPECT_EQ(edge.exchange({}).body, "served"); });
  EXPECT_THAT(log(), HasSubstr("takes no part in ASGI lifespan"));
  EXPECT_THAT(log(), Not(HasSubstr(" error ")));
}

TEST_P(LifespanEvents, AnApplicationWithoutThemDoesNotBootIfTheyAreOn) {
  app_.lifespan = config::Lifespan::kOn;
  EXPECT_THAT(boot(kWithout), HasSubstr("AssertionError: no lifespan here"));
  EXPECT_THAT(boot("async def app(scope, receive, send): pass\n"),
              HasSubstr("returned from lifespan without completing its startup"));
}

TEST_P(LifespanEvents, AFailedStartupIsABootErrorWithItsMessage) {
  constexpr std::string_view kSource = R"(
closed = []
async def app(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database at db:5432"})
    try:
        await receive()
    finally:
        closed.append(True)
)";
  for (const auto mode : {config::Lifespan::kAuto, config::Lifespan::kOn}) {
    app_.lifespan = mode;
    EXPECT_EQ(boot(kSource), "ASGI lifespan startup failed: no database at db:5432");
    EXPECT_EQ(variable("closed"), "[True]");
  }
}

TEST_P(LifespanEvents, AStartupThatRaisesIsABootErrorWithItsTracebackIfTheyAreOn) {
  app_.lifespan = config::Lifespan::kOn;
  constexpr std::string_view kSource = R"(
async def app(scope, receive, send):
    await receive()
    raise OSError("no database")
)";
  const std::string error = boot(kSource);
  EXPECT_THAT(error, HasSubstr("Traceback"));
  EXPECT_THAT(error, HasSubstr("OSError: no database"));
}

TEST_P(LifespanEvents, WhatGoesWrongAtShutdownIsLogged) {
  constexpr std::string_view kSource = R"(
async def app(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.failed", "message": "could not say goodbye"})
    raise ValueError("and then this")
)";
  EXPECT_EQ(boot(kSource), "");
  EXPECT_THAT(log(), HasSubstr("ASGI lifespan shutdown failed: could not say goodbye"));
  EXPECT_THAT(log(), HasSubstr("ValueError: and then this"));
}

TEST_P(LifespanEvents, AShutdownThatHangsEndsAtItsTimeOut) {
  graceful_timeout_ = std::chrono::milliseconds(200);
  constexpr std::string_view kSource = R"(
import asyncio
cancelled = False
async def app(scope, receive, send):
    global cancelled
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        cancelled = True
        raise
)";
  EXPECT_EQ(boot(kSource), "");
  EXPECT_EQ(variable("cancelled"), "True");
  EXPECT_THAT(log(), HasSubstr("ASGI lifespan shutdown took longer than"));
}

TEST_P(LifespanEvents, AnApplicationThatListensOnAfterItsShutdownIsNotWaitedFor) {
  constexpr std::string_view kSource = R"(
async def app(scope, receive, send):
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
)";
  EXPECT_EQ(boot(kSource), "");
  EXPECT_THAT(log(), Not(HasSubstr("took longer")));
}

TEST_P(LifespanEvents, MessagesOutOfTurnRaise) {
  constexpr std::string_view kSource = R"(
errors = []
async def app(scope, receive, send):
    async def attempt(message):
        try:
            await send(message)
        except (RuntimeError, TypeError) as error:
            errors.append(str(error))
    await attempt({"type": "lifespan.shutdown.complete"})
    await attempt({"no": "type"})
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await attempt({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})
)";
  EXPECT_EQ(boot(kSource), "");
  EXPECT_THAT(item("errors", 0), HasSubstr("Unexpected ASGI message 'lifespan.shutdown.complete'"));
  EXPECT_THAT(item("errors", 1), HasSubstr("an ASGI message is a dict"));
  EXPECT_THAT(item("errors", 2), HasSubstr("Unexpected ASGI message 'lifespan.startup.complete'"));
}

TEST_P(LifespanEvents, AnOrderToStopEndsAStartupThatTakesItsTime) {
  constexpr std::string_view kSource = R"(
import asyncio
async def app(scope, receive, send):
    await receive()
    stop()
    await asyncio.sleep(3600)
)";
  boot_hook_ = [this] { channel().begin_drain(); };
  EXPECT_EQ(boot(kSource), "stopped before the application's lifespan startup was complete");
}

TEST_P(LifespanEvents, TasksGeneratorsAndExecutorsAreEndedWithTheLoop) {
  constexpr std::string_view kSource = R"(
import asyncio, time
events = []
async def forever():
    try:
        await asyncio.sleep(3600)
    finally:
        events.append("task")
async def generate():
    try:
        yield 1
        yield 2
    finally:
        events.append("generator")
generator = generate()
async def app(scope, receive, send):
    await receive()
    scope["state"]["task"] = asyncio.create_task(forever())
    await generator.__anext__()
    asyncio.get_running_loop().run_in_executor(None, lambda: (time.sleep(0.05), events.append("thread")))
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})
)";
  EXPECT_EQ(boot(kSource), "");
  EXPECT_EQ(variable("events"), "['task', 'generator', 'thread']");
  EXPECT_THAT(log(), Not(HasSubstr("destroyed but it is pending")));
}

SAOLA_ON_BOTH_LOOPS(LifespanEvents);

}  // namespace
}  // namespace saola::backend::asgi
