#include <gmock/gmock.h>

#include <thread>

#include "asgi_fixture.h"
#include "loops.h"

namespace saola::backend::asgi {
namespace {

using testing::HasSubstr;
using testing::Not;

using Errors = AsgiTest;

TEST_P(Errors, AnExceptionBeforeTheHeadIsAPlain500WithATracebackInTheLog) {
  constexpr std::string_view kSource = R"(
async def inner():
    raise ValueError("before the head")
async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    if scope["path"] == "/held":
        await send({"type": "http.response.start", "status": 200, "headers": []})
    await inner()
)";
  serve(kSource, [](FakeEdge& edge) {
    for (const char* path : {"/", "/held"}) {
      const FakeResponse answer = edge.exchange({.path = path, .request_id = "id-7"});
      EXPECT_EQ(answer.status, 500);
      EXPECT_EQ(answer.body, "500 Internal Server Error\nrequest id: id-7\n");
      EXPECT_EQ(answer.heads, 1);
    }
    EXPECT_EQ(edge.exchange({.method = ipc::Method::kHead}).body, "");
  });
  EXPECT_THAT(log(), HasSubstr("Exception in ASGI application"));
  EXPECT_THAT(log(), HasSubstr("request=id-7"));
  EXPECT_THAT(log(), HasSubstr("in inner"));
  EXPECT_THAT(log(), HasSubstr("ValueError: before the head"));
  EXPECT_THAT(log(), Not(HasSubstr("never retrieved")));
}

TEST_P(Errors, AnExceptionAfterTheHeadBreaksTheAnswerOff) {
  constexpr std::string_view kSource = R"(
async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"half", "more_body": True})
    raise ValueError("after the head")
)";
  serve(kSource, [](FakeEdge& edge) {
    const FakeResponse answer = edge.exchange({});
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.body, "half");
    EXPECT_TRUE(answer.aborted);
    EXPECT_EQ(answer.abort_reason, ipc::AbortReason::kAppFailed);
  });
  EXPECT_THAT(log(), HasSubstr("ValueError: after the head"));
}

TEST_P(Errors, AnExceptionAfterTheAnswerIsOnlyLogged) {
  constexpr std::string_view kSource = R"(
async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"whole"})
    raise SystemExit("background work")
)";
  serve(kSource, [](FakeEdge& edge) {
    EXPECT_EQ(edge.exchange({}).body, "whole");
    EXPECT_EQ(edge.exchange({}).body, "whole");
  });
  EXPECT_THAT(log(), HasSubstr("SystemExit: background work"));
}

TEST_P(Errors, AnApplicationThatReturnsTooEarlyIsNamedInTheLog) {
  constexpr std::string_view kSource = R"(
async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    if scope["path"] != "/nothing":
        await send({"type": "http.response.start", "status": 200, "headers": []})
    if scope["path"] == "/half":
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
)";
  serve(kSource, [](FakeEdge& edge) {
    EXPECT_EQ(edge.exchange({.path = "/nothing"}).status, 500);
    EXPECT_EQ(edge.exchange({.path = "/head"}).status, 500);
    const FakeResponse half = edge.exchange({.path = "/half"});
    EXPECT_EQ(half.status, 200);
    EXPECT_TRUE(half.aborted);
    EXPECT_EQ(half.abort_reason, ipc::AbortReason::kProtocol);
  });
  EXPECT_THAT(log(), HasSubstr("returned without starting a response"));
  EXPECT_THAT(log(), HasSubstr("returned without completing its response"));
}

TEST_P(Errors, ATaskThatCancelsItselfGetsA500) {
  constexpr std::string_view kSource = R"(
import asyncio
async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    asyncio.current_task().cancel()
    await receive()
    await receive()
)";
  serve(kSource, [](FakeEdge& edge) { EXPECT_EQ(edge.exchange({}).status, 500); });
  EXPECT_THAT(log(), HasSubstr("cancelled before the answer was complete"));
}

TEST_P(Errors, WhatIsNotAnAsgiApplicationIsToldSo) {
  constexpr std::string_view kSource = R"(
def app(scope, receive, send):
    return [b"WSGI?"]
)";
  serve(kSource, [](FakeEdge& edge) { EXPECT_EQ(edge.exchange({}).status, 500); });
  EXPECT_THAT(log(), HasSubstr("returned list, which cannot be awaited"));
}

// Each case sends its messages and answers with the first exception, as text.
struct WrongMessages {
  const char* messages;
  const char* error;
};

constexpr WrongMessages kWrongMessages[] = {
    {"[{'type': 'http.response.body'}]",
     "RuntimeError: Expected ASGI message 'http.response.start', but got 'http.response.body'."},
    {"[start, start]",
     "RuntimeError: Expected ASGI message 'http.response.body', but got 'http.response.start'."},
    {"[start, {'type': 'websocket.send'}]",
     "RuntimeError: Expected ASGI message 'http.response.body', but got 'websocket.send'."},
    {"[{}]", "TypeError: an ASGI message is a dict with a str as its 'type', not {}"},
    {"[{'type': b'http.response.start'}]", "TypeError: an ASGI message is a dict"},
    {"[17]", "TypeError"},
    {"[{'type': 'http.response.start'}]", "KeyError: 'status'"},
    {"[{**start, 'status': '200'}]", "TypeError"},
    {"[{**start, 'status': 103}]", "ValueError: http.response.start: status 103"},
    {"[{**start, 'status': 1000}]", "ValueError: http.response.start: status 1000"},
    {"[{**start, 'headers': 5}]", "TypeError: http.response.start: headers must be an iterable"},
    {"[{**start, 'headers': [b'ab']}]", "ValueError: http.response.start: a header must be a pair"},
    {"[{**start, 'headers': [(b'a',)]}]",
     "ValueError: http.response.start: a header must be a pair of bytes, not (b'a',)"},
    {"[{**start, 'headers': [('a', b'b')]}]",
     "TypeError: http.response.start: a header's name must be bytes, not str ('a')"},
    {"[{**start, 'headers': [(b'a', 'b')]}]",
     "TypeError: http.response.start: a header's value must be bytes, not str ('b')"},
    {"[{**start, 'headers': [(b'a b', b'c')]}]",
     "ValueError: http.response.start: invalid header name b'a b'"},
    {"[{**start, 'headers': [(b'', b'c')]}]", "ValueError: http.response.start: invalid header"},
    {"[{**start, 'headers': [(b'a', b'b\\r\\nx: y')]}]",
     "ValueError: http.response.start: the value of header b'a' contains CR, LF or NUL"},
    {"[{**start, 'headers': [(b'a', b'b\\x00')]}]", "contains CR, LF or NUL"},
    {"[{**start, 'headers': [(b'a', b'b' * 65536)]}]", "too long"},
    {"[{**start, 'headers': [(b'a', b'')] * 70000}]", "too long"},
    {"[{**start, 'headers': [(b'content-length', b'-1')]}]", "invalid content-length"},
    {"[{**start, 'headers': [(b'content-length', b'')]}]", "invalid content-length"},
    {"[{**start, 'headers': [(b'content-length', b'1, 1')]}]", "invalid content-length"},
    {"[{**start, 'headers': [(b'content-length', b'1'), (b'content-length', b'2')]}]",
     "two different content-lengths"},
    {"[start, {'type': 'http.response.body', 'body': 'text'}]",
     "TypeError: http.response.body: body must be bytes, not str"},
    {"[{**start, 'headers': [(b'content-length', b'2')]}, {'type': 'http.response.body', 'body': "
     "b'123'}]",
     "RuntimeError: Response content longer than Content-Length"},
    {"[{**start, 'headers': [(b'content-length', b'4')]}, {'type': 'http.response.body', 'body': "
     "b'123'}]",
     "RuntimeError: Response content shorter than Content-Length"},
};

TEST_P(Errors, WrongMessagesRaiseWhatIsWrongAndTheAnswerCanStillBeA500) {
  std::string source = R"(
errors = []
cases = []
start = {"type": "http.response.start", "status": 200}
async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    try:
        for message in cases[int(scope["query_string"])]:
            await send(message)
    except Exception as error:
        errors.append(f"{type(error).__name__}: {error}")
        raise
)";
  for (const auto& wrong : kWrongMessages) {
    source += std::string("cases.append(") + wrong.messages + ")\n";
  }
  serve(source, [](FakeEdge& edge) {
    for (std::size_t i = 0; i < std::size(kWrongMessages); ++i) {
      const FakeResponse answer = edge.exchange({.query = std::to_string(i)});
      EXPECT_EQ(answer.status, 500) << kWrongMessages[i].messages;
      EXPECT_EQ(answer.body, "500 Internal Server Error\nrequest id: request-1\n");
    }
  });
  for (std::size_t i = 0; i < std::size(kWrongMessages); ++i) {
    EXPECT_THAT(item("errors", i), HasSubstr(kWrongMessages[i].error));
  }
}

TEST_P(Errors, AMessageAfterTheLastOneRaises) {
  constexpr std::string_view kSource = R"(
errors = []
async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})
    for message in ({"type": "http.response.body"}, {"type": "http.response.start", "status": 200}):
        try:
            await send(message)
        except RuntimeError as error:
            errors.append(str(error))
)";
  serve(kSource, [](FakeEdge& edge) { EXPECT_EQ(edge.exchange({}).body, "ok"); });
  EXPECT_EQ(item("errors", 0),
            "Unexpected ASGI message 'http.response.body' sent, after response already completed.");
  EXPECT_EQ(
      item("errors", 1),
      "Unexpected ASGI message 'http.response.start' sent, after response already completed.");
}

TEST_P(Errors, TooManyBytesForAStreamsContentLengthBreakItOff) {
  constexpr std::string_view kSource = R"(
async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"1234", "more_body": True})
    await send({"type": "http.response.body", "body": scope["query_string"]})
)";
  serve(kSource, [](FakeEdge& edge) {
    const FakeResponse longer = edge.exchange({.query = "56"});
    EXPECT_EQ(longer.body, "1234");
    EXPECT_TRUE(longer.aborted);
    EXPECT_TRUE(edge.exchange({.query = ""}).aborted);
    const FakeResponse right = edge.exchange({.query = "5"});
    EXPECT_TRUE(right.ended);
    EXPECT_EQ(right.content_length, 5);
  });
}

// --- clients that go away ------------------------------------------------------------------------

TEST_P(Errors, AClientThatGoesAwayIsToldThroughReceiveAndNotByCancellation) {
  constexpr std::string_view kSource = R"(
import asyncio
events = []
async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"first", "more_body": True})
    events.append((await receive())["type"])
    events.append((await receive())["type"])
    events.append((await receive())["type"])
    await send({"type": "http.response.body", "body": b"into the void", "more_body": True})
    await send({"type": "any message at all"})
    await asyncio.sleep(0)
    events.append("end")
)";
  serve(kSource, [](FakeEdge& edge) {
    const std::uint32_t stream = edge.request({});
    edge.partial(stream, 5);
    edge.abort(stream);
    EXPECT_EQ(edge.settled(stream).body, "first");
  });
  EXPECT_EQ(variable("events"), "['http.request', 'http.disconnect', 'http.disconnect', 'end']");
  EXPECT_THAT(log(), Not(HasSubstr("error")));
}

TEST_P(Errors, AClientThatGoesAwayWakesASendThatWaitsForTheWindow) {
  window_ = 10;
  constexpr std::string_view kSource = R"(
sent = False
async def app(scope, receive, send):
    global sent
    if scope["type"] != "http":
        raise NotImplementedError
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"x" * 100, "more_body": True})
    sent = True
)";
  serve(kSource, [](FakeEdge& edge) {
    const std::uint32_t stream = edge.request({});
    edge.partial(stream, 10);
    edge.abort(stream);
  });
  EXPECT_EQ(variable("sent"), "True");
}

TEST_P(Errors, AClientThatGoesAwayInTheMiddleOfItsBodyEndsTheBody) {
  constexpr std::string_view kSource = R"(
events = []
async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    while True:
        message = await receive()
        events.append((message["type"], message.get("body"), message.get("more_body")))
        if message["type"] == "http.disconnect":
            raise RuntimeError("half a body")
)";
  serve(kSource, [](FakeEdge& edge) {
    const std::uint32_t stream = edge.request({.method = ipc::Method::kPost, .body_length = 100});
    edge.body(stream, "half", false);
    while (!edge.is_claimed(stream)) std::this_thread::yield();
    edge.settled(stream);
    edge.abort(stream);
  });
  EXPECT_EQ(variable("events"),
            "[('http.request', b'half', True), ('http.disconnect', None, None)]");
  EXPECT_THAT(log(), HasSubstr("Exception in ASGI application after its client had gone"));
}

TEST_P(Errors, ReceiveAndSendKeptBeyondTheirRequestDoNoHarm) {
  constexpr std::string_view kSource = R"(
kept, seen = [], []
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        for receive, send in kept:
            seen.append((await receive())["type"])
            try:
                await send({"type": "http.response.body"})
            except RuntimeError:
                seen.append("RuntimeError")
        await send({"type": "lifespan.shutdown.complete"})
        return
    kept.append((receive, send))
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"kept"})
)";
  serve(kSource, [](FakeEdge& edge) { EXPECT_EQ(edge.exchange({}).body, "kept"); });
  EXPECT_EQ(variable("seen"), "['http.disconnect', 'RuntimeError']");
}

TEST_P(Errors, AnAwaitableIsAwaitedOnceAndOnlyThenDoesAnything) {
  constexpr std::string_view kSource = R"(
errors = []
async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    send({"type": "http.response.start", "status": 404, "headers": []})  # never awaited
    receive().close()
    start = send({"type": "http.response.start", "status": 200, "headers": []})
    await start
    for call in (lambda: start, lambda: send(), lambda: receive(1)):
        try:
            await call()
        except (RuntimeError, TypeError) as error:
            errors.append(type(error).__name__)
    await send({"type": "http.response.body", "body": (await receive())["type"].encode()})
)";
  serve(kSource, [](FakeEdge& edge) {
    const FakeResponse answer = edge.exchange({});
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.body, "http.request");
  });
  EXPECT_EQ(variable("errors"), "['RuntimeError', 'TypeError', 'TypeError']");
}

TEST_P(Errors, AnExitInABackgroundTaskDrainsTheWorkerWithoutLosingRequests) {
  constexpr std::string_view kSource = R"(
import asyncio, sys
async def background():
    sys.exit(3)
async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    task = asyncio.create_task(background())
    await asyncio.sleep(0.05)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"still here"})
)";
  serve(kSource, [this](FakeEdge& edge) {
    EXPECT_EQ(edge.exchange({}).body, "still here");
    EXPECT_TRUE(channel().draining());
  });
  EXPECT_THAT(log(), HasSubstr("the application ended the event loop"));
}

SAOLA_ON_BOTH_LOOPS(Errors);

}  // namespace
}  // namespace saola::backend::asgi
