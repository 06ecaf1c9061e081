#include <gmock/gmock.h>
#include <sys/mman.h>
#include <unistd.h>

#include <thread>

#include "asgi_fixture.h"
#include "loops.h"

namespace saola::backend::asgi {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

constexpr std::string_view kHello = R"(
async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    await send({"type": "http.response.start", "status": 200,
                "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"Hello, World"})
)";

UniqueFd memory_file(const std::string& text) {
  UniqueFd file(::memfd_create("body", MFD_CLOEXEC));
  SAOLA_CHECK(::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  return file;
}

using Http = AsgiTest;

TEST_P(Http, AnswersHelloWorldWithItsLength) {
  serve(kHello, [](FakeEdge& edge) {
    const FakeResponse answer = edge.exchange({});
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.body, "Hello, World");
    EXPECT_EQ(answer.content_length, 12);
    EXPECT_THAT(answer.headers, ElementsAre(Pair("content-type", "text/plain")));
  });
}

TEST_P(Http, ServesAThousandRequestsAtOnce) {
  constexpr std::string_view kSource = R"(
import asyncio
waiting, everybody, running = 0, asyncio.Event(), 0
async def app(scope, receive, send):
    global waiting
    if scope["type"] != "http":
        raise NotImplementedError
    waiting += 1
    if waiting == 1000:
        everybody.set()
    await everybody.wait()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["query_string"]})
)";
  serve(kSource, [](FakeEdge& edge) {
    std::vector<std::uint32_t> streams;
    for (int i = 0; i < 1000; ++i) {
      streams.push_back(edge.request({.query = std::to_string(i)}));
    }
    for (int i = 0; i < 1000; ++i) {
      EXPECT_EQ(edge.answer(streams[static_cast<std::size_t>(i)]).body, std::to_string(i));
    }
  });
}

TEST_P(Http, GivesTheBodyInPiecesAndTheCreditBack) {
  constexpr std::string_view kSource = R"(
async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    size, pieces = 0, 0
    while True:
        message = await receive()
        assert message["type"] == "http.request", message
        size += len(message["body"])
        pieces += 1
        if not message["more_body"]:
            break
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"%d %s" % (size, b"many" if pieces > 1 else b"one")})
)";
  serve(kSource, [](FakeEdge& edge) {
    const std::string piece(32 * 1024, 'x');
    const std::uint32_t stream = edge.request({.method = ipc::Method::kPost, .body_length = -1});
    edge.body(stream, piece, false);
    std::uint64_t sent = piece.size();
    // What is in the window without credit must fit; the rest waits for it.
    for (int i = 0; i < 7; ++i) {
      while (sent + piece.size() > ipc::kRequestWindow + edge.credit(stream)) edge.settled(stream);
      edge.body(stream, piece, false);
      sent += piece.size();
    }
    edge.body(stream, "", true);
    EXPECT_EQ(edge.answer(stream).body, std::to_string(8 * piece.size()) + " many");

    EXPECT_EQ(edge.exchange({.method = ipc::Method::kPost}, "small").body, "5 one");
    EXPECT_EQ(edge.exchange({}).body, "0 one");
  });
}

TEST_P(Http, GivesASpooledBodyInPieces) {
  constexpr std::string_view kSource = R"(
async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    pieces, more = [], True
    while more:
        message = await receive()
        pieces.append(message["body"])
        more = message["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"%d %d %d" % (
        len(pieces), len(b"".join(pieces)), b"".join(pieces).count(b"x"))})
)";
  serve(kSource, [](FakeEdge& edge) {
    const std::string body(200 * 1000, 'x');
    FakeRequest request = {.method = ipc::Method::kPost};
    request.body_length = static_cast<std::int64_t>(body.size());
    const auto whole = edge.request_with_file(request, memory_file(body));
    EXPECT_EQ(edge.answer(whole).body, "4 200000 200000");
    // Shorter than it is said to be: the disk failed, or somebody cut it.
    const auto cut = edge.request_with_file(request, memory_file(body.substr(1)));
    EXPECT_EQ(edge.answer(cut).status, 500);
    const auto lost = edge.request_with_file(request, {});
    EXPECT_EQ(edge.answer(lost).status, 503);
  });
  EXPECT_THAT(log(), HasSubstr("OSError"));
  EXPECT_THAT(log(), HasSubstr("the descriptor of a spooled body was lost"));
}

TEST_P(Http, EchoesAStreamInBothDirections) {
  constexpr std::string_view kSource = R"(
async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    await send({"type": "http.response.start", "status": 200, "headers": []})
    more = True
    while more:
        message = await receive()
        more = message["more_body"]
        await send({"type": "http.response.body", "body": message["body"].upper(), "more_body": more})
)";
  serve(kSource, [](FakeEdge& edge) {
    const std::uint32_t stream = edge.request({.method = ipc::Method::kPost, .body_length = -1});
    edge.body(stream, "one ", false);
    EXPECT_EQ(edge.partial(stream, 4).body, "ONE ");
    edge.body(stream, "two ", false);
    EXPECT_EQ(edge.partial(stream, 8).body, "ONE TWO ");
    edge.body(stream, "three", true);
    const FakeResponse answer = edge.answer(stream);
    EXPECT_EQ(answer.body, "ONE TWO THREE");
    EXPECT_EQ(answer.content_length, -1);
    EXPECT_EQ(answer.heads, 1);
  });
}

TEST_P(Http, WaitsInSendWhileTheWindowIsUsedUp) {
  window_ = 1000;
  constexpr std::string_view kSource = R"(
sent = 0
async def app(scope, receive, send):
    global sent
    if scope["type"] != "http":
        raise NotImplementedError
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for i in range(10):
        await send({"type": "http.response.body", "body": b"%d" % i * 500, "more_body": i < 9})
        sent += 1
)";
  serve(kSource, [](FakeEdge& edge) {
    std::string expected;
    for (char digit = '0'; digit <= '9'; ++digit) expected += std::string(500, digit);
    const std::uint32_t stream = edge.request({});
    EXPECT_EQ(edge.partial(stream, 1000).body, expected.substr(0, 1000));
    EXPECT_EQ(edge.settled(stream).body.size(), 1000U);
    edge.window(stream, 250);
    EXPECT_EQ(edge.partial(stream, 1250).body.size(), 1250U);
    EXPECT_EQ(edge.settled(stream).body.size(), 1250U);
    edge.window(stream, 100000);
    const FakeResponse answer = edge.answer(stream);
    EXPECT_EQ(answer.body, expected);
    EXPECT_TRUE(answer.ended);
  });
  EXPECT_EQ(variable("sent"), "10");
}

TEST_P(Http, ABodyLargerThanTheWindowLeavesBitByBit) {
  window_ = 1000;
  constexpr std::string_view kSource = R"(
async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": bytearray(b"0123456789" * 1000)})
)";
  serve(kSource, [](FakeEdge& edge) {
    const std::uint32_t stream = edge.request({});
    for (std::size_t got = 1000; got < 10000; got += 1000) {
      EXPECT_EQ(edge.partial(stream, got).body.size(), got);
      edge.window(stream, 1000);
    }
    const FakeResponse answer = edge.answer(stream);
    EXPECT_EQ(answer.body.size(), 10000U);
    EXPECT_EQ(answer.content_length, 10000);
  });
}

TEST_P(Http, ASendCancelledWhileItWaitsLeavesNoHoleInTheAnswer) {
  window_ = 100;
  constexpr std::string_view kSource = R"(
import asyncio
async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    await send({"type": "http.response.start", "status": 200, "headers": []})
    try:
        await asyncio.wait_for(
            send({"type": "http.response.body", "body": b"a" * 300, "more_body": True}), 0.01)
    except asyncio.TimeoutError:
        pass
    await send({"type": "http.response.body", "body": b"b" * 100})
)";
  serve(kSource, [](FakeEdge& edge) {
    const std::uint32_t stream = edge.request({});
    EXPECT_EQ(edge.partial(stream, 100).body.size(), 100U);
    edge.settled(stream);
    edge.window(stream, 1000);
    EXPECT_EQ(edge.answer(stream).body, std::string(300, 'a') + std::string(100, 'b'));
  });
}

TEST_P(Http, SendsNoBodyToHeadNor204Nor304) {
  constexpr std::string_view kSource = R"(
async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    status = int(scope["query_string"])
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": b"four", "more_body": True})
    await send({"type": "http.response.body", "body": b"five!"})
)";
  serve(kSource, [](FakeEdge& edge) {
    for (const auto& [method, status] :
         {std::pair(ipc::Method::kHead, 200), {ipc::Method::kGet, 204}, {ipc::Method::kGet, 304}}) {
      const FakeResponse answer =
          edge.exchange({.method = method, .query = std::to_string(status)});
      EXPECT_EQ(answer.status, status);
      EXPECT_EQ(answer.body, "");
      EXPECT_TRUE(answer.ended);
    }
  });
  serve(kHello, [](FakeEdge& edge) {
    const FakeResponse answer = edge.exchange({.method = ipc::Method::kHead});
    EXPECT_EQ(answer.content_length, 12);
    EXPECT_EQ(answer.body, "");
  });
}

TEST_P(Http, KeepsDuplicateHeadersInOrderAndDropsThoseOfTheHop) {
  constexpr std::string_view kSource = R"(
async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    await send({"type": "http.response.start", "status": 201, "headers": (h for h in [
        [b"Set-Cookie", b"a=1"], (b"set-cookie", b"b=2"), (b"X-Own-Name", b"\xff\t "),
        (b"Connection", b"close"), (b"transfer-encoding", b"chunked"), (b"Keep-Alive", b"timeout=5"),
        (b"content-length", b"2"), (b"Content-Length", b"2")])})
    await send({"type": "http.response.body", "body": memoryview(b"ok")})
)";
  serve(kSource, [](FakeEdge& edge) {
    const FakeResponse answer = edge.exchange({});
    EXPECT_EQ(answer.status, 201);
    EXPECT_EQ(answer.content_length, 2);
    EXPECT_EQ(answer.body, "ok");
    EXPECT_THAT(answer.headers, ElementsAre(Pair("set-cookie", "a=1"), Pair("set-cookie", "b=2"),
                                            Pair("x-own-name", "\xff\t ")));
  });
}

TEST_P(Http, FlushesEachPieceOfAStreamBeforeTheNextIsMade) {
  constexpr std::string_view kSource = R"(
async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
    await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
    await receive()
    await receive()
)";
  serve(kSource, [](FakeEdge& edge) {
    const std::uint32_t stream = edge.request({});
    EXPECT_EQ(edge.partial(stream, 9).body, "data: 1\n\n");
    edge.abort(stream);
  });
}

TEST_P(Http, RunsBackgroundWorkAfterTheAnswerAndBeforeShutdown) {
  constexpr std::string_view kSource = R"(
import asyncio
events = []
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        events.append("shutdown")
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"done"})
    events.append((await receive())["type"])
    await asyncio.sleep(0.1)
    events.append("background")
)";
  serve(kSource, [](FakeEdge& edge) { EXPECT_EQ(edge.exchange({}).body, "done"); });
  EXPECT_EQ(variable("events"), "['http.disconnect', 'background', 'shutdown']");
}

TEST_P(Http, CallsWithinATaskOfItsOwnWithItsRequestId) {
  constexpr std::string_view kSource = R"(
import asyncio, contextvars
mine = contextvars.ContextVar("mine", default="unset")
seen = []
async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    task = asyncio.current_task()
    seen.append((task.get_name(), mine.get(), task in asyncio.all_tasks()))
    mine.set(task.get_name())
    await asyncio.sleep(0)
    assert mine.get() == task.get_name()
    print("working")
    await asyncio.create_task(send({"type": "http.response.start", "status": 200, "headers": []}))
    await asyncio.ensure_future(send({"type": "http.response.body", "body": b""}))
)";
  serve(kSource, [](FakeEdge& edge) {
    const std::uint32_t first = edge.request({.request_id = "id-1"});
    const std::uint32_t second = edge.request({.request_id = "id-2"});
    EXPECT_EQ(edge.answer(first).status, 200);
    EXPECT_EQ(edge.answer(second).status, 200);
  });
  EXPECT_EQ(variable("seen"), "[('id-1', 'unset', True), ('id-2', 'unset', True)]");
  EXPECT_THAT(log(), HasSubstr("request=id-1: working"));
  EXPECT_THAT(log(), HasSubstr("request=id-2: working"));
}

TEST_P(Http, UsesTheTaskFactoryOfTheLoop) {
  constexpr std::string_view kSource = R"(
import asyncio
made = []
def factory(loop, coro, **kwargs):
    task = asyncio.Task(coro, loop=loop, **kwargs)
    made.append(type(coro).__name__)
    return task
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        asyncio.get_running_loop().set_task_factory(factory)
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"made"})
)";
  serve(kSource, [](FakeEdge& edge) { EXPECT_EQ(edge.exchange({}).body, "made"); });
  EXPECT_THAT(variable("made"), HasSubstr("AppCall"));
}

TEST_P(Http, ServesCallablesAndPlainAwaitables) {
  constexpr std::string_view kSource = R"(
class Call:
    def __init__(self, scope, send):
        self.scope, self.send = scope, send
    def __await__(self):
        yield from self.send({"type": "http.response.start", "status": 200, "headers": []}).__await__()
        yield from self.send(message={"type": "http.response.body", "body": b"awaited"})
class App:
    def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            raise NotImplementedError
        return Call(scope, send)
app = App()
)";
  serve(kSource, [](FakeEdge& edge) { EXPECT_EQ(edge.exchange({}).body, "awaited"); });
}

TEST_P(Http, ClaimsNothingMoreOnceItDrains) {
  constexpr std::string_view kSource = R"(
async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"finished"})
)";
  serve(kSource, [this](FakeEdge& edge) {
    const std::uint32_t running = edge.request({.method = ipc::Method::kPost, .body_length = 4});
    while (!edge.is_claimed(running)) std::this_thread::yield();
    channel().begin_drain();
    const std::uint32_t late = edge.request({});
    edge.body(running, "body", true);
    EXPECT_EQ(edge.answer(running).body, "finished");
    EXPECT_FALSE(edge.is_claimed(late));
    EXPECT_TRUE(edge.saw_drain());
  });
}

TEST_P(Http, CancelsWhatDoesNotEndInTimeForItsDeadline) {
  graceful_timeout_ = std::chrono::milliseconds(300);
  constexpr std::string_view kSource = R"(
import asyncio
events = []
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        events.append("shutdown")
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"data", "more_body": True})
    try:
        await asyncio.sleep(3600)
    finally:
        events.append("cancelled")
)";
  serve(kSource, [this](FakeEdge& edge) {
    const std::uint32_t stream = edge.request({});
    edge.partial(stream, 4);
    channel().begin_drain(std::chrono::steady_clock::now() + graceful_timeout_);
    EXPECT_TRUE(edge.answer(stream).aborted);
  });
  EXPECT_EQ(variable("events"), "['cancelled', 'shutdown']");
  EXPECT_THAT(log(), HasSubstr("1 requests have not ended in time"));
}

TEST_P(Http, EndsWhenTheEdgeHasGoneAndTellsWhoListens) {
  constexpr std::string_view kSource = R"(
told = []
async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    await receive()
    told.append((await receive())["type"])
    await send({"type": "http.response.start", "status": 200, "headers": []})
)";
  serve(kSource, [](FakeEdge& edge) {
    const std::uint32_t stream = edge.request({});
    while (!edge.is_claimed(stream)) std::this_thread::yield();
    edge.hang_up();
  });
  EXPECT_EQ(variable("told"), "['http.disconnect']");
}

SAOLA_ON_BOTH_LOOPS(Http);

}  // namespace
}  // namespace saola::backend::asgi
