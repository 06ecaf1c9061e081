#include <gmock/gmock.h>

#include "asgi_fixture.h"
#include "loops.h"

namespace saola::backend::asgi {
namespace {

using Scope = AsgiTest;

// Answers with the value of the Python expression in the query, as repr.
constexpr std::string_view kEvaluate = R"(
async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    value = repr(eval(scope["query_string"] or "None"))
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": value.encode("ascii", "backslashreplace")})
)";

struct ScopeCase {
  FakeRequest request;
  const char* expression;
  const char* value;
};

TEST_P(Scope, SaysWhatTheEdgeSays) {
  const ScopeCase cases[] = {
      {{},
       "list(scope)",
       "['type', 'asgi', 'http_version', 'server', 'client', 'scheme', 'method', 'root_path', "
       "'path', 'raw_path', 'query_string', 'headers', 'state', 'extensions']"},
      {{}, "scope['asgi']", "{'version': '3.0', 'spec_version': '2.3'}"},
      {{}, "scope['type'], scope['extensions']", "('http', {})"},
      {{}, "scope['method'], scope['http_version'], scope['scheme']", "('GET', '1.1', 'https')"},
      {{.method = ipc::Method::kPatch}, "scope['method']", "'PATCH'"},
      {{.method = ipc::Method::kOther, .method_text = "PROPFIND"}, "scope['method']", "'PROPFIND'"},
      {{.version = ipc::HttpVersion::k10}, "scope['http_version']", "'1.0'"},
      {{.version = ipc::HttpVersion::k2}, "scope['http_version']", "'2'"},
      {{.scheme = ipc::Scheme::kHttp}, "scope['scheme']", "'http'"},
      {{}, "scope['client'], scope['server']", "(('192.0.2.7', 51000), ('198.51.100.1', 443))"},
      {{.client_host = "2001:db8::1"}, "scope['client']", "('2001:db8::1', 51000)"},
      {{.client_host = "", .server_host = "/run/app.sock", .server_port = 0},
       "scope['client'], scope['server']",
       "(None, ('/run/app.sock', None))"},
      {{.client_host = "", .server_host = ""}, "scope['client'], scope['server']", "(None, None)"},
      {{}, "scope['query_string'][:5]", "b'scope'"},
      {{.path = "/caf\xc3\xa9/\xe2\x82\xac", .raw_path = "/caf%C3%A9/%E2%82%AC"},
       "scope['path'] == '/caf\\xe9/\\u20ac', scope['raw_path']",
       "(True, b'/caf%C3%A9/%E2%82%AC')"},
      {{.path = "/\xff/x", .raw_path = "/%FF/x"}, "scope['path'] == '/\\ufffd/x'", "True"},
      {{.path = std::string("/a\0b", 4), .raw_path = "/a%00b"}, "scope['path']", "'/a\\x00b'"},
      {{.path = "*"}, "scope['path'], scope['raw_path']", "('*', b'*')"},
      {{.path = "/items", .raw_path = "/api/items", .root_path = "/api"},
       "scope['root_path'], scope['path'], scope['raw_path']",
       "('/api', '/api/items', b'/api/items')"},
      {{.headers = {{"host", "a"}, {"cookie", "x=1"}, {"x-unknown", ""}, {"cookie", "y=\xe9"}}},
       "scope['headers']",
       "[(b'host', b'a'), (b'cookie', b'x=1'), (b'x-unknown', b''), (b'cookie', b'y=\\xe9')]"},
      {{.headers = {}}, "scope['headers']", "[]"},
  };
  serve(kEvaluate, [&](FakeEdge& edge) {
    for (const auto& [request, expression, value] : cases) {
      FakeRequest asking = request;
      asking.query = expression;
      EXPECT_EQ(edge.exchange(asking).body, value) << expression;
    }
  });
}

TEST_P(Scope, WithoutAQueryTheQueryIsEmpty) {
  serve(kEvaluate, [](FakeEdge& edge) { EXPECT_EQ(edge.exchange({}).body, "None"); });
}

TEST_P(Scope, TheApplicationsRootPathComesBeforeTheRoutes) {
  app_.root_path = "/f\xc3\xbcr alle";
  serve(kEvaluate, [](FakeEdge& edge) {
    const char* expression = "ascii(scope['root_path']), ascii(scope['path']), scope['raw_path']";
    EXPECT_EQ(edge.exchange({.path = "/x", .query = expression}).body,
              R"(("'/f\\xfcr alle'", "'/f\\xfcr alle/x'", b'/f%C3%BCr%20alle/x'))");
    const FakeRequest routed = {
        .path = "/x", .raw_path = "/api/x", .query = expression, .root_path = "/api"};
    EXPECT_EQ(edge.exchange(routed).body,
              R"(("'/f\\xfcr alle/api'", "'/f\\xfcr alle/api/x'", b'/f%C3%BCr%20alle/api/x'))");
  });
}

TEST_P(Scope, WhatOneRequestChangesNoOtherSees) {
  constexpr std::string_view kSource = R"(
async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    seen = repr((scope["asgi"], scope["extensions"], "mine" in scope, (await receive())))
    scope["asgi"]["mine"] = scope["extensions"]["mine"] = scope["mine"] = 1
    scope["headers"].clear()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": seen.encode()})
    (await receive())["mine"] = 1
)";
  serve(kSource, [](FakeEdge& edge) {
    const std::string first = edge.exchange({}).body;
    EXPECT_EQ(edge.exchange({}).body, first);
    EXPECT_EQ(edge.exchange({}).body, first);
  });
}

SAOLA_ON_BOTH_LOOPS(Scope);

}  // namespace
}  // namespace saola::backend::asgi
