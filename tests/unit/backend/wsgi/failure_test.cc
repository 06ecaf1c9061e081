// What a client gets, and the log says, when a WSGI application does it wrong.
#include <gmock/gmock.h>

#include "wsgi_fixture.h"

namespace saola::backend::wsgi {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST_F(WsgiTest, AnExceptionBeforeTheHeadIsAPlain500WithItsTracebackInTheLog) {
  FakeRequest request;
  request.path = "/broken";
  request.request_id = "id-77";
  const auto response = get(R"(
def app(environ, start_response):
    raise ValueError("no luck today")
)",
                            request);
  EXPECT_EQ(response.status, 500);
  EXPECT_EQ(header(response, "content-type"), "text/plain; charset=utf-8");
  EXPECT_THAT(response.body, HasSubstr("id-77"));
  EXPECT_THAT(response.body, Not(HasSubstr("luck")));
  EXPECT_TRUE(response.ended);
  EXPECT_THAT(log(), HasSubstr("GET /broken: exception in the application"));
  EXPECT_THAT(log(), HasSubstr("ValueError: no luck today"));
  EXPECT_THAT(log(), HasSubstr("request=id-77"));
}

TEST_F(WsgiTest, AnExceptionAfterStartResponseButBeforeTheBodyIsA500) {
  const auto response = get(R"(
def app(environ, start_response):
    start_response("200 OK", [("X-Lost", "1")])
    raise ValueError("late")
)");
  EXPECT_EQ(response.status, 500);
  EXPECT_EQ(header(response, "x-lost"), "(none)");
}

TEST_F(WsgiTest, AnExceptionAfterTheHeadBreaksTheAnswerOff) {
  const auto response = get(R"(
def app(environ, start_response):
    start_response("200 OK", [])
    yield b"half"
    raise ValueError("too late")
)");
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.body, "half");
  EXPECT_TRUE(response.aborted);
  EXPECT_EQ(response.abort_reason, ipc::AbortReason::kAppFailed);
  EXPECT_THAT(log(), HasSubstr("ValueError: too late"));
}

TEST_F(WsgiTest, TheWorkerServesOnAfterAnyException) {
  serve(R"(
def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/exit": raise SystemExit(3)
    if path == "/interrupt": raise KeyboardInterrupt
    if path == "/generator-exit": raise GeneratorExit
    if path == "/recursion": return app(environ, start_response)
    start_response("200 OK", [])
    return [b"fine"]
)",
        [](FakeEdge& edge) {
          for (const char* path : {"/exit", "/interrupt", "/generator-exit", "/recursion"}) {
            EXPECT_EQ(edge.exchange({.path = path}).status, 500) << path;
          }
          EXPECT_EQ(edge.exchange({.path = "/"}).body, "fine");
        });
}

TEST_F(WsgiTest, WrongUseOfStartResponseIsAnExceptionInTheApplication) {
  struct Case {
    const char* call;
    const char* error;
  };
  const Case cases[] = {
      {"start_response(b'200 OK', [])", "TypeError: status must be str"},
      {"start_response('OK', [])", "ValueError: status must be like '200 OK'"},
      {"start_response('100 Continue', [])", "ValueError: status must be like '200 OK'"},
      {"start_response('200 OK\\r\\nX: 1', [])", "ValueError: status must be like '200 OK'"},
      {"start_response('200 OK', None)", "TypeError: response headers must be a list"},
      {"start_response('200 OK', [('a', 'b', 'c')])", "(name, value) tuple"},
      {"start_response('200 OK', [(b'a', 'b')])",
       "TypeError: a response header's name must be str"},
      {"start_response('200 OK', [('a', 1)])", "TypeError: a response header's value must be str"},
      {"start_response('200 OK', [('a b', 'c')])", "ValueError: not a name"},
      {"start_response('200 OK', [('', 'c')])", "ValueError: not a name"},
      {"start_response('200 OK', [('a:', 'c')])", "ValueError: not a name"},
      {"start_response('200 OK', [('a', 'b\\r\\nSet-Cookie: c=d')])", "control characters"},
      {"start_response('200 OK', [('a', 'b\\n')])", "control characters"},
      {"start_response('200 OK', [('a', 'b\\0')])", "control characters"},
      {"start_response('200 OK', [('a', '\\u20ac')])", "beyond latin-1"},
      {"start_response('200 OK', [('Content-Length', 'ten')])", "Content-Length is not a number"},
      {"start_response('200 OK', [('Content-Length', '-1')])", "Content-Length is not a number"},
      {"start_response('200 OK', [('Content-Length', '')])", "Content-Length is not a number"},
      {"start_response('200 OK', [('Content-Length', '1'), ('content-length', '2')])",
       "contradicts another"},
      {"start_response('200 OK', [('a', 'x' * 70000)])", "too large"},
      {"start_response('200 OK')", "TypeError: start_response(status"},
      {"start_response('200 OK', [], other=1)", "unexpected argument 'other'"},
      {"start_response('200 OK', [], (1, 2))", "exc_info must be a tuple"},
      {"[start_response('200 OK', []) for i in range(2)]", "AssertionError: start_response() was"},
      {"start_response('200 OK', [])('text')", "TypeError: a WSGI response must give bytes"},
      {"None", "AssertionError: the application did not call start_response()"},
  };
  for (const auto& one : cases) {
    test::CapturedLog::instance().clear();
    const auto response = get(std::string("def app(environ, start_response):\n    ") + one.call +
                              "\n    return [b'body']\n");
    EXPECT_EQ(response.status, 500) << one.call;
    EXPECT_THAT(log(), HasSubstr(one.error)) << one.call;
  }
}

TEST_F(WsgiTest, ResultsThatAreNoBytesAreA500) {
  for (const char* result : {"None", "7", "['text']", "iter(['text'])", "'text'", "[None]"}) {
    const auto response = get(std::string(R"(
def app(environ, start_response):
    start_response("200 OK", [])
    return )") + result + "\n");
    EXPECT_EQ(response.status, 500) << result;
    EXPECT_THAT(log(), HasSubstr("TypeError")) << result;
    test::CapturedLog::instance().clear();
  }
}

TEST_F(WsgiTest, ExcInfoReplacesAHeadThatHasNotLeft) {
  const auto response = get(R"(
import sys
def app(environ, start_response):
    start_response("200 OK", [("X-Old", "1")])
    try:
        raise ValueError
    except ValueError:
        start_response(status="503 Busy", response_headers=[("X-New", "1")], exc_info=sys.exc_info())
    return [b"sorry"]
)");
  EXPECT_EQ(response.status, 503);
  EXPECT_EQ(header(response, "x-old"), "(none)");
  EXPECT_EQ(header(response, "x-new"), "1");
  EXPECT_EQ(response.body, "sorry");
}

TEST_F(WsgiTest, ExcInfoIsRaisedAgainWhenTheHeadHasLeft) {
  const auto response = get(R"(
import sys
seen = []
def app(environ, start_response):
    write = start_response("200 OK", [])
    write(b"data")
    try:
        raise ValueError("original")
    except ValueError:
        try:
            start_response("500 Oops", [], sys.exc_info())
        except ValueError as error:
            seen.append(str(error))
            raise
    return []
)");
  EXPECT_TRUE(response.aborted);
  EXPECT_EQ(response.body, "data");
  EXPECT_EQ(evaluate("seen"), "['original']");
}

TEST_F(WsgiTest, CloseIsCalledWhenTheIterationFailsToo) {
  const auto response = get(R"(
events = []
class Body:
    def __iter__(self): return self
    def __next__(self): raise RuntimeError("broken body")
    def close(self): events.append("closed")
def app(environ, start_response):
    start_response("200 OK", [])
    return Body()
)");
  EXPECT_EQ(response.status, 500);
  EXPECT_EQ(evaluate("events"), "['closed']");
}

TEST_F(WsgiTest, AnExceptionInCloseIsLoggedAndTheAnswerStands) {
  const auto response = get(R"(
class Body:
    def __iter__(self): return iter([b"body"])
    def close(self): raise RuntimeError("cannot close")
def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "4")])
    return Body()
)");
  EXPECT_EQ(response.body, "body");
  EXPECT_TRUE(response.ended);
  EXPECT_THAT(log(), HasSubstr("exception in close()"));
  EXPECT_THAT(log(), HasSubstr("cannot close"));
}

TEST_F(WsgiTest, ACallableKeptBeyondItsRequestDoesNothing) {
  serve(R"(
kept, errors = [], []
def app(environ, start_response):
    for old_start, old_write in kept:
        for call in (lambda: old_start("200 OK", []), lambda: old_write(b"stray")):
            try: call()
            except RuntimeError as error: errors.append(str(error))
    kept.append((start_response, start_response("200 OK", [])))
    return [b"own"]
)",
        [](FakeEdge& edge) {
          EXPECT_EQ(edge.exchange({}).body, "own");
          EXPECT_EQ(edge.exchange({}).body, "own");
        });
  EXPECT_EQ(evaluate("len(errors)"), "2");
  EXPECT_THAT(evaluate("errors[0]"), HasSubstr("the request has ended"));
}

TEST_F(WsgiTest, AGeneratorIsStoppedAndClosedWhenTheClientGoes) {
  serve(R"(
import time
closed = []
def app(environ, start_response):
    start_response("200 OK", [])
    try:
        while True:
            yield b"tick"
            time.sleep(0.001)
    finally:
        closed.append(True)
)",
        [](FakeEdge& edge) {
          const auto stream = edge.request({});
          edge.partial(stream, 4);
          edge.abort(stream);
        });
  EXPECT_EQ(evaluate("closed"), "[True]");
  EXPECT_THAT(log(), Not(HasSubstr("Traceback")));
}

TEST_F(WsgiTest, WhatTheApplicationPrintsBelongsToItsRequest) {
  FakeRequest request;
  request.request_id = "id-88";
  get(R"(
import logging, sys
logging.basicConfig()
def app(environ, start_response):
    print("to stdout")
    print("to stderr", file=sys.stderr)
    logging.warning("logged")
    environ["wsgi.errors"].write("to wsgi.errors\n")
    start_response("200 OK", [])
    return [b""]
)",
      request);
  const std::string text = log();
  for (const char* line : {"to stdout", "to stderr", "WARNING:root:logged", "to wsgi.errors"}) {
    const auto at = text.find(line);
    ASSERT_NE(at, std::string::npos) << line;
    const auto begin = text.rfind('\n', at) + 1;
    EXPECT_THAT(text.substr(begin, at - begin), HasSubstr("id-88")) << line;
  }
}

}  // namespace
}  // namespace saola::backend::wsgi
