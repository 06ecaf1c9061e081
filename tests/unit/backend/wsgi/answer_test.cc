// What a client gets for what a WSGI application returns.
#include <gmock/gmock.h>

#include <cstdio>

#include "wsgi_fixture.h"

namespace saola::backend::wsgi {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST_F(WsgiTest, SaysHello) {
  const auto response = get(R"(
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-One", " 1 ")])
    return [b"Hello, World"]
)");
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.body, "Hello, World");
  EXPECT_EQ(response.content_length, 12);
  EXPECT_TRUE(response.ended);
  EXPECT_EQ(header(response, "content-type"), "text/plain");
  EXPECT_EQ(header(response, "x-one"), "1");
}

TEST_F(WsgiTest, ServesOneRequestAfterAnother) {
  serve(R"(
count = 0
def app(environ, start_response):
    global count
    count += 1
    start_response("200 OK", [])
    return [b"%d" % count]
)",
        [](FakeEdge& edge) {
          std::vector<std::uint32_t> streams;
          for (int i = 0; i < 500; ++i) streams.push_back(edge.request({}));
          for (std::size_t i = 0; i < streams.size(); ++i) {
            EXPECT_EQ(edge.answer(streams[i]).body, std::to_string(i + 1));
          }
        });
}

TEST_F(WsgiTest, JoinsTheItemsOfAListUnderOneLength) {
  const auto response = get(R"(
def app(environ, start_response):
    start_response("200 OK", [])
    return [b"one ", b"", b"two ", b"three"]
)");
  EXPECT_EQ(response.body, "one two three");
  EXPECT_EQ(response.content_length, 13);
  EXPECT_TRUE(response.ended);
}

TEST_F(WsgiTest, AnEmptyIterableIsAnEmptyBody) {
  for (const char* body : {"[]", "()", "iter(())", "[b'']", "(b'' for i in range(3))"}) {
    const auto response = get(std::string(R"(
def app(environ, start_response):
    start_response("202 Accepted", [])
    return )") + body + "\n");
    EXPECT_EQ(response.status, 202) << body;
    EXPECT_EQ(response.content_length, 0) << body;
    EXPECT_TRUE(response.ended) << body;
  }
}

TEST_F(WsgiTest, KeepsTheContentLengthOfTheApplicationAndSendsItOnce) {
  const auto response = get(R"(
def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "5")])
    return iter([b"12", b"345"])
)");
  EXPECT_EQ(response.content_length, 5);
  EXPECT_EQ(response.body, "12345");
  EXPECT_EQ(header(response, "content-length"), "(none)");
  EXPECT_TRUE(response.ended);
}

TEST_F(WsgiTest, AnIterableOfLengthOneHasTheLengthOfItsItem) {
  const auto response = get(R"(
class One:
    def __len__(self): return 1
    def __iter__(self): return iter([b"only"])
def app(environ, start_response):
    start_response("200 OK", [])
    return One()
)");
  EXPECT_EQ(response.content_length, 4);
  EXPECT_EQ(response.body, "only");
}

TEST_F(WsgiTest, EachPieceOfAGeneratorLeavesAtOnce) {
  // The generator goes on only when the client has the piece before.
  app_.threads = 2;
  serve(R"(
import threading
gate = threading.Semaphore(0)
def app(environ, start_response):
    if environ["PATH_INFO"] == "/open":
        gate.release()
        start_response("200 OK", [])
        return [b""]
    start_response("200 OK", [])
    def pieces():
        yield b"first"
        gate.acquire()
        yield b"second"
    return pieces()
)",
        [](FakeEdge& edge) {
          const auto stream = edge.request({});
          const auto partial = edge.partial(stream, 5);
          EXPECT_EQ(partial.body, "first");
          EXPECT_EQ(partial.content_length, -1);
          EXPECT_FALSE(partial.ended);
          edge.exchange({.path = "/open"});
          EXPECT_EQ(edge.answer(stream).body, "firstsecond");
        });
}

TEST_F(WsgiTest, WriteSendsItsDataAheadOfTheIterable) {
  const auto response = get(R"(
def app(environ, start_response):
    write = start_response("200 OK", [])
    write(b"written, ")
    write(b"")
    return [b"returned"]
)");
  EXPECT_EQ(response.body, "written, returned");
  EXPECT_TRUE(response.ended);
}

TEST_F(WsgiTest, CallsCloseAfterTheAnswer) {
  const auto response = get(R"(
events = []
class Body:
    def __iter__(self):
        yield b"body"
        events.append("exhausted")
    def close(self): events.append("closed")
def app(environ, start_response):
    start_response("200 OK", [])
    return Body()
)");
  EXPECT_EQ(response.body, "body");
  EXPECT_EQ(evaluate("events"), "['exhausted', 'closed']");
}

TEST_F(WsgiTest, HeadGetsTheHeadAlone) {
  FakeRequest request;
  request.method = ipc::Method::kHead;
  const auto listed = get(R"(
def app(environ, start_response):
    start_response("200 OK", [])
    return [b"12345"]
)",
                          request);
  EXPECT_EQ(listed.content_length, 5);
  EXPECT_EQ(listed.body, "");
  EXPECT_TRUE(listed.ended);
  const auto stripped = get(R"(
def app(environ, start_response):
    start_response("200 OK", [])
    return []
)",
                            request);
  EXPECT_EQ(stripped.content_length, -1);
  EXPECT_TRUE(stripped.ended);
  const auto generated = get(R"(
closed = []
def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "1000000")])
    try:
        while True: yield b"endless"
    finally: closed.append(True)
)",
                             request);
  EXPECT_EQ(generated.content_length, 1000000);
  EXPECT_EQ(generated.body, "");
  EXPECT_TRUE(generated.ended);
  EXPECT_EQ(evaluate("closed"), "[True]");
}

TEST_F(WsgiTest, NoContentAndNotModifiedHaveNoBody) {
  const auto empty = get(R"(
def app(environ, start_response):
    start_response("204 No Content", [("Content-Length", "0")])
    return [b"nobody sees this"]
)");
  EXPECT_EQ(empty.status, 204);
  EXPECT_EQ(empty.content_length, -1);
  EXPECT_EQ(empty.body, "");
  EXPECT_TRUE(empty.ended);
  const auto same = get(R"(
def app(environ, start_response):
    start_response("304 Not Modified", [("Content-Length", "77"), ("ETag", '"x"')])
    return []
)");
  EXPECT_EQ(same.status, 304);
  EXPECT_EQ(same.content_length, 77);
  EXPECT_TRUE(same.ended);
}

TEST_F(WsgiTest, MoreThanContentLengthIsCutAndLogged) {
  const auto response = get(R"(
def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "4")])
    return iter([b"123", b"456", b"789"])
)");
  EXPECT_EQ(response.body, "1234");
  EXPECT_TRUE(response.ended);
  EXPECT_FALSE(response.aborted);
  EXPECT_THAT(log(), HasSubstr("more than its Content-Length of 4 bytes"));
  EXPECT_THAT(log(), HasSubstr("request-1"));
}

TEST_F(WsgiTest, LessThanContentLengthBreaksTheAnswerOff) {
  for (const char* body : {"[b'123']", "iter([b'12', b'3'])", "[]"}) {
    test::CapturedLog::instance().clear();
    const auto response = get(std::string(R"(
def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "4")])
    return )") + body + "\n");
    EXPECT_TRUE(response.aborted) << body;
    EXPECT_EQ(response.abort_reason, ipc::AbortReason::kProtocol) << body;
    EXPECT_THAT(log(), HasSubstr("Content-Length is 4")) << body;
  }
}

TEST_F(WsgiTest, AnswersLargerThanTheWindowArriveWhole) {
  window_ = 64 * 1024;
  serve(R"(
import hashlib
data = bytes(range(256)) * 4096 * 3
def app(environ, start_response):
    start_response("200 OK", [])
    if environ["PATH_INFO"] == "/list": return [data]
    return (data[i:i + 100000] for i in range(0, len(data), 100000))
digest = hashlib.sha256(data).hexdigest()
)",
        [](FakeEdge& edge) {
          for (const char* path : {"/list", "/generator"}) {
            const auto stream = edge.request({.path = path});
            constexpr std::size_t kSize = 256 * 4096 * 3;
            std::size_t granted = 64 * 1024;
            while (granted < kSize) {
              edge.partial(stream, granted);
              edge.window(stream, 64 * 1024);
              granted += 64 * 1024;
            }
            const auto answer = edge.answer(stream);
            EXPECT_EQ(answer.body.size(), kSize) << path;
            bool same = true;
            for (std::size_t i = 0; i < answer.body.size(); ++i) {
              same = same && static_cast<unsigned char>(answer.body[i]) == i % 256;
            }
            EXPECT_TRUE(same) << path;
          }
        });
}

TEST_F(WsgiTest, ManyCookiesAreManyFields) {
  const auto response = get(R"(
def app(environ, start_response):
    start_response("200 OK", [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])
    return [b""]
)");
  std::vector<std::string> cookies;
  for (const auto& [name, value] : response.headers) {
    if (name == "set-cookie") cookies.push_back(value);
  }
  EXPECT_EQ(cookies, (std::vector<std::string>{"a=1", "b=2"}));
}

TEST_F(WsgiTest, FieldsOfTheConnectionAreTheEdgesAffair) {
  const auto response = get(R"(
def app(environ, start_response):
    start_response("200 OK", [("Connection", "close"), ("Transfer-Encoding", "chunked"),
                              ("Keep-Alive", "1"), ("Upgrade", "x"), ("X-Kept", "1")])
    return [b"ok"]
)");
  EXPECT_EQ(response.status, 200);
  ASSERT_EQ(response.headers.size(), 1U);
  EXPECT_EQ(response.headers[0].first, "x-kept");
}

class WsgiFileTest : public WsgiTest {
 protected:
  // A temporary file of `size` bytes; its path replaces PATH in `source`.
  FakeResponse get_file(std::string source, std::size_t size) {
    std::string bytes(size, '\0');
    for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(i * 7 % 251);
    char path[] = "/tmp/saola-file-XXXXXX";
    const UniqueFd file(::mkstemp(path));
    EXPECT_EQ(::write(file.get(), bytes.data(), bytes.size()), static_cast<ssize_t>(size));
    source.replace(source.find("PATH"), 4, path);
    auto response = get(source);
    ::unlink(path);
    expected_ = bytes;
    return response;
  }
  std::string expected_;
};

TEST_F(WsgiFileTest, AWrappedFileIsSentFromItsPositionWithItsLength) {
  window_ = 1024 * 1024;
  const auto response = get_file(R"(
def app(environ, start_response):
    file = open("PATH", "rb")
    file.read(100)
    start_response("200 OK", [])
    app.file = file
    return environ["wsgi.file_wrapper"](file, 4096)
)",
                                 300'000);
  EXPECT_EQ(response.content_length, 299'900);
  EXPECT_EQ(response.body, expected_.substr(100));
  EXPECT_TRUE(response.ended);
  EXPECT_EQ(evaluate("app.file.closed"), "True");
}

TEST_F(WsgiFileTest, AWrappedFileSendsNoMoreThanContentLength) {
  const auto response = get_file(R"(
def app(environ, start_response):
    start_response("206 Partial Content", [("Content-Length", "50")])
    return environ["wsgi.file_wrapper"](open("PATH", "rb"))
)",
                                 1000);
  EXPECT_EQ(response.body, expected_.substr(0, 50));
  EXPECT_TRUE(response.ended);
  EXPECT_THAT(log(), Not(HasSubstr("Content-Length")));
}

TEST_F(WsgiTest, AWrappedObjectThatIsNoFileIsRead) {
  const auto response = get(R"(
import gzip, io
data = io.BytesIO(gzip.compress(b"unpacked " * 10000))
def app(environ, start_response):
    start_response("200 OK", [])
    return environ["wsgi.file_wrapper"](gzip.GzipFile(fileobj=data))
)");
  EXPECT_EQ(response.body.size(), 90000U);
  EXPECT_EQ(response.body.substr(0, 9), "unpacked ");
}

TEST_F(WsgiTest, FileWrapperIteratesInBlocks) {
  const auto response = get(R"(
import io
def app(environ, start_response):
    start_response("200 OK", [])
    wrapper = environ["wsgi.file_wrapper"](io.BytesIO(b"abcdefgh"), 3)
    return [repr(list(wrapper)).encode()]
)");
  EXPECT_EQ(response.body, "[b'abc', b'def', b'gh']");
}

TEST_F(WsgiTest, WsgirefFindsNothingToComplainAbout) {
  FakeRequest request;
  request.method = ipc::Method::kPost;
  request.query = "a=b";
  request.headers = {
      {"host", "example.com"}, {"content-type", "text/plain"}, {"content-length", "11"}};
  const auto response = get(R"(
import wsgiref.validate
def inner(environ, start_response):
    body = environ["wsgi.input"].read(5) + environ["wsgi.input"].readline(100)
    lines = list(environ["wsgi.input"])
    environ["wsgi.errors"].write("written\n")
    environ["wsgi.errors"].flush()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "11")])
    return [body]
app = wsgiref.validate.validator(inner)
)",
                            request, "hello\nworld");
  EXPECT_EQ(response.status, 200) << log();
  EXPECT_THAT(log(), HasSubstr("written"));
  EXPECT_THAT(log(), Not(HasSubstr("Traceback")));
}

}  // namespace
}  // namespace saola::backend::wsgi
