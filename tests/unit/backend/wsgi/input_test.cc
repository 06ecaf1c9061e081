// What a WSGI application reads from `wsgi.input`.
#include <gmock/gmock.h>
#include <sys/mman.h>

#include <thread>

#include "wsgi_fixture.h"

namespace saola::backend::wsgi {
namespace {

using testing::HasSubstr;

FakeRequest post(std::int64_t body_length = 0) {
  FakeRequest request;
  request.method = ipc::Method::kPost;
  request.body_length = body_length;
  return request;
}

// An application that answers with the value of an expression; `body` is wsgi.input.
std::string reading(std::string_view expression) {
  return R"(
def app(environ, start_response):
    body = environ["wsgi.input"]
    start_response("200 OK", [])
    return [repr()" +
         std::string(expression) + R"().encode()]
)";
}

struct Reading {
  const char* expression;
  const char* result;
};
// With the body "one\ntwo\n\nlast".
constexpr Reading kReadings[] = {
    {"body.read()", R"(b'one\ntwo\n\nlast')"},
    {"body.read(-1)", R"(b'one\ntwo\n\nlast')"},
    {"body.read(None)", R"(b'one\ntwo\n\nlast')"},
    {"(body.read(2), body.read(0), body.read(4), body.read(100), body.read(1), body.read())",
     R"((b'on', b'', b'e\ntw', b'o\n\nlast', b'', b''))"},
    {"[body.readline() for i in range(6)]", R"([b'one\n', b'two\n', b'\n', b'last', b'', b''])"},
    {"[body.readline(2) for i in range(4)]", R"([b'on', b'e\n', b'tw', b'o\n'])"},
    {"list(body)", R"([b'one\n', b'two\n', b'\n', b'last'])"},
    {"body.readlines()", R"([b'one\n', b'two\n', b'\n', b'last'])"},
    {"body.readlines(5)", R"([b'one\n', b'two\n'])"},
    {"(body.readline(), body.read(3), body.readlines())",
     R"((b'one\n', b'two', [b'\n', b'\n', b'last']))"},
    {"__import__('io').BufferedReader(body).read()", R"(b'one\ntwo\n\nlast')"},
    {"__import__('io').TextIOWrapper(__import__('io').BufferedReader(body)).readlines()",
     R"(['one\n', 'two\n', '\n', 'last'])"},
};

TEST_F(WsgiTest, ReadsABodyThatCameWithTheRequest) {
  for (const auto& one : kReadings) {
    EXPECT_EQ(get(reading(one.expression), post(), "one\ntwo\n\nlast").body, one.result)
        << one.expression;
  }
}

TEST_F(WsgiTest, ReadsABodyThatComesByteByByte) {
  for (const auto& one : kReadings) {
    serve(reading(one.expression), [&](FakeEdge& edge) {
      const auto stream = edge.request(post(13));
      for (const char byte : std::string_view("one\ntwo\n\nlast")) {
        edge.body(stream, std::string_view(&byte, 1), false);
      }
      edge.body(stream, "", true);
      EXPECT_EQ(edge.answer(stream).body, one.result) << one.expression;
    });
  }
}

TEST_F(WsgiTest, ARequestWithoutBodyReadsAsEmpty) {
  for (const char* expression : {"body.read()", "body.readline()", "body.read(5)"}) {
    EXPECT_EQ(get(reading(expression)).body, "b''") << expression;
  }
  EXPECT_EQ(get(reading("list(body)")).body, "[]");
}

TEST_F(WsgiTest, ABodyLargerThanTheWindowIsReadWhole) {
  constexpr std::size_t kSize = 1024 * 1024;
  serve(reading("(len(data := body.read()), sum(data))"), [](FakeEdge& edge) {
    const auto stream = edge.request(post(kSize));
    const std::string piece(32 * 1024, '\1');
    std::size_t sent = 0;
    while (sent < kSize) {
      if (sent + piece.size() > ipc::kRequestWindow) {
        edge.wait_for_credit(stream, sent + piece.size() - ipc::kRequestWindow);
      }
      sent += piece.size();
      edge.body(stream, piece, sent == kSize);
    }
    EXPECT_EQ(edge.answer(stream).body, "(1048576, 1048576)");
  });
}

TEST_F(WsgiTest, AChunkedBodyHasItsLengthInEnviron) {
  serve(reading("(environ['CONTENT_LENGTH'], body.read())"), [](FakeEdge& edge) {
    const auto stream = edge.request(post(-1));
    edge.body(stream, "half,", false);
    edge.body(stream, "half", true);
    EXPECT_EQ(edge.answer(stream).body, "('9', b'half,half')");
  });
}

TEST_F(WsgiTest, AClientThatGoesAwayMidBodyIsAnErrorInTheApplication) {
  serve(R"(
errors = []
def app(environ, start_response):
    try:
        environ["wsgi.input"].read()
    except OSError as error:
        errors.append(type(error).__name__)
        raise
)",
        [](FakeEdge& edge) {
          const auto stream = edge.request(post(100));
          edge.body(stream, "half", false);
          while (!edge.is_claimed(stream)) std::this_thread::yield();
          edge.abort(stream);
        });
  EXPECT_EQ(evaluate("errors"), "['ConnectionResetError']");
}

TEST_F(WsgiTest, TheBodyCannotBeReadOnAfterTheRequest) {
  serve(R"(
kept = []
def app(environ, start_response):
    result = b"first"
    if kept:
        try: result = kept[0].read()
        except OSError as error: result = str(error).encode()
    kept.append(environ["wsgi.input"])
    start_response("200 OK", [])
    return [result]
)",
        [](FakeEdge& edge) {
          const auto stream = edge.request(post(100));
          EXPECT_EQ(edge.answer(stream).body, "first");
          EXPECT_THAT(edge.exchange({}).body, HasSubstr("the request has ended"));
        });
}

TEST_F(WsgiTest, WrongSizesAreTypeErrors) {
  EXPECT_EQ(get(reading("body.read('5')"), post(), "x").status, 500);
  EXPECT_THAT(log(), HasSubstr("TypeError"));
}

TEST_F(WsgiTest, ReadsASpooledBodyFromItsFile) {
  std::string bytes;
  for (int i = 0; bytes.size() < 300'000; ++i) bytes += "line " + std::to_string(i) + "\n";
  for (const char* expression :
       {"body.read()", "b''.join(body)", "b''.join(iter(lambda: body.read(1000), b''))",
        "body.read(10) + body.readline() + b''.join(body.readlines())",
        "body.readline() + body.read(200000) + body.read()"}) {
    window_ = 1024 * 1024;
    UniqueFd file(::memfd_create("body", MFD_CLOEXEC));
    ASSERT_EQ(::write(file.get(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
    serve(R"(
def app(environ, start_response):
    body = environ["wsgi.input"]
    start_response("200 OK", [])
    data = )" +
              std::string(expression) +
              R"(
    assert body.read() == b""
    return [data]
)",
          [&](FakeEdge& edge) {
            auto request = post(static_cast<std::int64_t>(bytes.size()));
            const auto stream = edge.request_with_file(request, std::move(file));
            EXPECT_TRUE(edge.answer(stream).body == bytes) << expression;
          });
  }
}

TEST_F(WsgiTest, ABodyFileThatGotLostIsA503) {
  serve(reading("body.read()"), [](FakeEdge& edge) {
    const auto stream = edge.request_with_file(post(10), UniqueFd());
    EXPECT_EQ(edge.answer(stream).status, 503);
  });
  EXPECT_THAT(log(), HasSubstr("no descriptor left"));
}

}  // namespace
}  // namespace saola::backend::wsgi
