// What a WSGI application finds in `environ`.
#include <gmock/gmock.h>

#include "wsgi_fixture.h"

namespace saola::backend::wsgi {
namespace {


TEST_F(WsgiTest, EnvironHasWhatPep3333Asks) {
  FakeRequest request;
  request.path = "/caf\xc3\xa9/x";
  request.raw_path = "/caf%C3%A9/x";
  request.query = "q=%20";
  const auto response =
      get(show_environ("REQUEST_METHOD SCRIPT_NAME PATH_INFO QUERY_STRING SERVER_NAME SERVER_PORT "
                       "SERVER_PROTOCOL REMOTE_ADDR REMOTE_PORT HTTP_HOST wsgi.version "
                       "wsgi.url_scheme HTTPS wsgi.run_once wsgi.multithread wsgi.multiprocess "
                       "RAW_URI REQUEST_URI CONTENT_LENGTH CONTENT_TYPE"),
          request);
  EXPECT_EQ(response.body,
            "REQUEST_METHOD='GET'\nSCRIPT_NAME=''\nPATH_INFO='/caf\xc3\x83\xc2\xa9/x'\n"
            "QUERY_STRING='q=%20'\nSERVER_NAME='198.51.100.1'\nSERVER_PORT='443'\n"
            "SERVER_PROTOCOL='HTTP/1.1'\nREMOTE_ADDR='192.0.2.7'\nREMOTE_PORT='51000'\n"
            "HTTP_HOST='example.com'\nwsgi.version=(1, 0)\nwsgi.url_scheme='https'\nHTTPS='on'\n"
            "wsgi.run_once=False\nwsgi.multithread=False\nwsgi.multiprocess=True\n"
            "RAW_URI='/caf%C3%A9/x?q=%20'\n"
            "REQUEST_URI='/caf%C3%A9/x?q=%20'\nCONTENT_LENGTH='(none)'\nCONTENT_TYPE='(none)'\n");
}

TEST_F(WsgiTest, EnvironIsADictOfItsOwn) {
  serve(R"(
def app(environ, start_response):
    assert type(environ) is dict
    before = environ.get("mark", "clean")
    environ["mark"] = "dirty"
    environ["SERVER_SOFTWARE"] = "changed"
    start_response("200 OK", [])
    return [before.encode(), environ["SERVER_SOFTWARE"].encode()]
)",
        [](FakeEdge& edge) {
          EXPECT_EQ(edge.exchange({}).body, "cleanchanged");
          EXPECT_EQ(edge.exchange({}).body, "cleanchanged");
        });
}

TEST_F(WsgiTest, PlainHttpHasNoHttpsVariable) {
  FakeRequest request;
  request.scheme = ipc::Scheme::kHttp;
  request.version = ipc::HttpVersion::k10;
  const auto response = get(show_environ("wsgi.url_scheme HTTPS SERVER_PROTOCOL"), request);
  EXPECT_EQ(response.body, "wsgi.url_scheme='http'\nHTTPS='(none)'\nSERVER_PROTOCOL='HTTP/1.0'\n");
}

TEST_F(WsgiTest, FieldsBecomeVariables) {
  FakeRequest request;
  request.headers = {
      {"host", "example.com"},  {"x-made-up", "1"},     {"accept", "text/html"},
      {"x-made-up", "2"},       {"cookie", "a=1"},      {"cookie", "b=2"},
      {"accept", "text/plain"}, {"x-latin", "caf\xe9"}, {"content-type", "text/css"}};
  const auto response = get(show_environ("HTTP_X_MADE_UP HTTP_ACCEPT HTTP_COOKIE HTTP_X_LATIN "
                                         "CONTENT_TYPE HTTP_CONTENT_TYPE"),
                            request);
  EXPECT_EQ(response.body,
            "HTTP_X_MADE_UP='1,2'\nHTTP_ACCEPT='text/html,text/plain'\n"
            "HTTP_COOKIE='a=1; b=2'\nHTTP_X_LATIN='caf\xc3\xa9'\nCONTENT_TYPE='text/css'\n"
            "HTTP_CONTENT_TYPE='(none)'\n");
}

TEST_F(WsgiTest, FieldsThatDeceiveAreLeftOut) {
  FakeRequest request;
  request.headers = {{"host", "example.com"},
                     {"proxy", "http://evil"},
                     {"x_forwarded_for", "1.2.3.4"},
                     {"content_length", "7"},
                     {"transfer-encoding", "chunked"}};
  const auto response =
      get(show_environ("HTTP_PROXY HTTP_X_FORWARDED_FOR CONTENT_LENGTH HTTP_CONTENT_LENGTH "
                       "HTTP_TRANSFER_ENCODING"),
          request);
  EXPECT_EQ(response.body,
            "HTTP_PROXY='(none)'\nHTTP_X_FORWARDED_FOR='(none)'\nCONTENT_LENGTH='(none)'\n"
            "HTTP_CONTENT_LENGTH='(none)'\nHTTP_TRANSFER_ENCODING='(none)'\n");
}

TEST_F(WsgiTest, WithoutAHostFieldTheAuthorityIsTheHost) {
  FakeRequest request;
  request.headers = {};
  EXPECT_EQ(get(show_environ("HTTP_HOST"), request).body, "HTTP_HOST='example.com'\n");
}

TEST_F(WsgiTest, UnusualMethodsAreGivenAsTheyWereSent) {
  FakeRequest request;
  request.method = ipc::Method::kOther;
  request.method_text = "PROPFIND";
  EXPECT_EQ(get(show_environ("REQUEST_METHOD"), request).body, "REQUEST_METHOD='PROPFIND'\n");
}

TEST_F(WsgiTest, TheRoutesPrefixIsScriptName) {
  FakeRequest request;
  request.path = "/users";
  request.raw_path = "/api/users";
  request.root_path = "/api";
  EXPECT_EQ(get(show_environ("SCRIPT_NAME PATH_INFO RAW_URI"), request).body,
            "SCRIPT_NAME='/api'\nPATH_INFO='/users'\nRAW_URI='/api/users'\n");
}

TEST_F(WsgiTest, TheAppsRootPathIsScriptNameWhetherTheProxyStripsItOrNot) {
  app_.root_path = "/app";
  for (const char* path : {"/app/users", "/users"}) {
    FakeRequest request;
    request.path = path;
    EXPECT_EQ(get(show_environ("SCRIPT_NAME PATH_INFO"), request).body,
              "SCRIPT_NAME='/app'\nPATH_INFO='/users'\n")
        << path;
  }
  FakeRequest other;
  other.path = "/application";
  EXPECT_EQ(get(show_environ("SCRIPT_NAME PATH_INFO"), other).body,
            "SCRIPT_NAME='/app'\nPATH_INFO='/application'\n");
}

TEST_F(WsgiTest, OnAUnixSocketTheServerIsWhatTheClientCallsIt) {
  FakeRequest request;
  request.server_host = "/run/saola.sock";
  request.server_port = 0;
  request.client_host = "";
  request.client_port = 0;
  EXPECT_EQ(get(show_environ("SERVER_NAME SERVER_PORT REMOTE_ADDR REMOTE_PORT"), request).body,
            "SERVER_NAME='example.com'\nSERVER_PORT='443'\nREMOTE_ADDR=''\nREMOTE_PORT='(none)'\n");
}

}  // namespace
}  // namespace saola::backend::wsgi
