// What a request head means; what is refused is in tests/corpus/http1.
#include "proxy/http1/request_parser.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cctype>
#include <cstring>

#include "tests/support/http1_conversation.h"

namespace saola::proxy::http1 {
namespace {

using test::converse;
using test::HeardField;
using testing::ElementsAre;

test::HeardRequest only_request(std::string_view bytes) {
  auto whole = converse(bytes, bytes.size());
  EXPECT_EQ(whole.status, 0) << whole.reason;
  EXPECT_EQ(whole.requests.size(), 1U);
  return whole.requests.empty() ? test::HeardRequest() : whole.requests.front();
}

constexpr std::string_view kGet =
    "GET /a%20b?c=d?e HTTP/1.1\r\nHost: A.example:8443\r\nX-Custom: \t v  w\t\r\nACCEPT: */*\r\n"
    "Set-Thing:\r\n\r\n";

TEST(RequestParser, ReadsEveryPartOfAHead) {
  const auto request = only_request(kGet);
  EXPECT_EQ(request.method, "GET");
  EXPECT_EQ(request.method_id, ipc::Method::kGet);
  EXPECT_EQ(request.version, ipc::HttpVersion::k11);
  EXPECT_EQ(request.form, TargetForm::kOrigin);
  EXPECT_EQ(request.target, "/a%20b?c=d?e");
  EXPECT_EQ(request.raw_path, "/a%20b");
  EXPECT_EQ(request.path, "/a b");
  EXPECT_EQ(request.query, "c=d?e");
  EXPECT_EQ(request.authority, "A.example:8443");
  EXPECT_EQ(request.content_length, 0);
  EXPECT_TRUE(request.keep_alive);
  EXPECT_FALSE(request.chunked || request.upgrade || request.expect_continue);
  EXPECT_THAT(request.fields, ElementsAre(HeardField{ipc::field::kHost, "host", "A.example:8443"},
                                          HeardField{0, "x-custom", "v  w"},
                                          HeardField{ipc::field::kAccept, "accept", "*/*"},
                                          HeardField{0, "set-thing", ""}));
}

TEST(RequestParser, GivesTheSameHeadHoweverTheBytesArrive) {
  const auto whole = only_request(kGet);
  for (const std::size_t piece : {1UL, 2UL, 7UL, 16UL}) {
    const auto pieces = converse(kGet, piece);
    ASSERT_EQ(pieces.requests.size(), 1U);
    EXPECT_EQ(pieces.requests.front(), whole) << piece;
  }
}

TEST(RequestParser, TakesTheAuthorityOfAnAbsoluteTarget) {
  const auto request =
      only_request("GET HTTP://a.EXAMPLE:80?x HTTP/1.1\r\nHost: a.example\r\n\r\n");
  EXPECT_EQ(request.form, TargetForm::kAbsolute);
  EXPECT_EQ(request.authority, "a.EXAMPLE:80");
  EXPECT_EQ(request.raw_path, "/");
  EXPECT_EQ(request.query, "x");
  EXPECT_EQ(only_request("GET http://b.example/p/ HTTP/1.0\r\n\r\n").authority, "b.example");
}

TEST(RequestParser, ReadsTheAsteriskForm) {
  const auto request = only_request("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(request.form, TargetForm::kAsterisk);
  EXPECT_EQ(request.raw_path, "*");
}

TEST(RequestParser, KeepsMethodsItDoesNotKnow) {
  const auto request = only_request("M-SEARCH / HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(request.method_id, ipc::Method::kOther);
  EXPECT_EQ(request.method, "M-SEARCH");
}

TEST(RequestParser, KnowsWhetherTheConnectionGoesOn) {
  struct Case {
    const char* version;
    const char* connection;
    bool keep_alive;
  };
  for (const auto& c : {Case{"1.1", "", true}, Case{"1.1", "Connection: close\r\n", false},
                        Case{"1.1", "Connection: x, CLOSE\r\n", false},
                        Case{"1.1", "Connection: x\r\nConnection: close\r\n", false},
                        Case{"1.1", "Connection: keep-alive, close\r\n", false},
                        Case{"1.1", "Connection: closed\r\n", true}, Case{"1.0", "", false},
                        Case{"1.0", "Connection: Keep-Alive\r\n", true},
                        Case{"1.0", "Connection: keep-alive, close\r\n", false},
                        Case{"1.0", "Proxy-Connection: keep-alive\r\n", false}}) {
    const auto request = only_request(std::string("GET / HTTP/") + c.version + "\r\nHost: a\r\n" +
                                      c.connection + "\r\n");
    EXPECT_EQ(request.keep_alive, c.keep_alive) << c.version << " " << c.connection;
  }
}

TEST(RequestParser, WantsBothTheTokenAndTheFieldForAnUpgrade) {
  const auto upgrade = [](const std::string& fields, const char* version = "1.1") {
    return only_request("GET / HTTP/" + std::string(version) + "\r\nHost: a\r\n" + fields + "\r\n")
        .upgrade;
  };
  EXPECT_TRUE(upgrade("Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"));
  EXPECT_FALSE(upgrade("Upgrade: websocket\r\n"));
  EXPECT_FALSE(upgrade("Connection: upgrade\r\n"));
  EXPECT_FALSE(upgrade("Connection: upgrade\r\nUpgrade:\r\n"));
  EXPECT_FALSE(upgrade("Connection: upgrade\r\nUpgrade: websocket\r\n", "1.0"));
}

TEST(RequestParser, ExpectsToContinueOnlyWithABodyInHttp11) {
  const auto expects = [](const std::string& line, const std::string& fields,
                          const std::string& body) {
    return only_request(line + "\r\nHost: a\r\nExpect: 100-continue\r\n" + fields + "\r\n" + body)
        .expect_continue;
  };
  EXPECT_TRUE(expects("POST / HTTP/1.1", "Content-Length: 1\r\n", "x"));
  EXPECT_TRUE(expects("POST / HTTP/1.1", "Transfer-Encoding: chunked\r\n", "0\r\n\r\n"));
  EXPECT_FALSE(expects("GET / HTTP/1.1", "", ""));
  EXPECT_FALSE(expects("POST / HTTP/1.1", "Content-Length: 0\r\n", ""));
  EXPECT_FALSE(expects("POST / HTTP/1.0", "Content-Length: 1\r\n", "x"));
}

TEST(RequestParser, SaysHowLongTheBodyIs) {
  const auto head = [](std::string_view fields) {
    RequestParser parser{HeadLimits()};
    RequestHead taken;
    EXPECT_TRUE(parser.feed("POST / HTTP/1.1\r\nHost: a\r\n" + std::string(fields) + "\r\n"));
    parser.take_head(taken);
    return taken;
  };
  EXPECT_FALSE(head("").has_body());
  EXPECT_EQ(head("Content-Length: 9223372036854775807\r\n").content_length, INT64_MAX);
  const auto chunked = head("Transfer-Encoding: chunked\r\n");
  EXPECT_TRUE(chunked.chunked && chunked.has_body());
  EXPECT_EQ(chunked.content_length, -1);
}

TEST(RequestParser, TakesNoByteBehindTheHead) {
  RequestParser parser{HeadLimits()};
  const std::string bytes = "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /next";
  EXPECT_EQ(parser.feed(bytes).value(), bytes.size() - 9);
  ASSERT_TRUE(parser.complete());
  EXPECT_EQ(parser.feed("GET /next").value(), 0U);
}

TEST(RequestParser, IsIdleBetweenRequestsOnly) {
  RequestParser parser{HeadLimits()};
  EXPECT_TRUE(parser.idle());
  ASSERT_TRUE(parser.feed("\r\n"));
  EXPECT_TRUE(parser.idle());
  ASSERT_TRUE(parser.feed("G"));
  EXPECT_FALSE(parser.idle());
  ASSERT_TRUE(parser.feed("ET / HTTP/1.1\r\nHost: a\r\n\r\n"));
  EXPECT_FALSE(parser.idle());
  RequestHead head;
  parser.take_head(head);
  EXPECT_TRUE(parser.idle());
  EXPECT_FALSE(parser.complete());
}

TEST(RequestParser, LeavesATakenHeadAlone) {
  RequestParser parser{HeadLimits()};
  RequestHead first, second;
  ASSERT_TRUE(parser.feed("GET /1 HTTP/1.1\r\nHost: a\r\nX-A: one\r\n\r\n"));
  parser.take_head(first);
  ASSERT_TRUE(parser.feed("GET /2 HTTP/1.1\r\nHost: b\r\nX-A: two\r\n\r\n"));
  EXPECT_EQ(first.raw_path, "/1");
  EXPECT_EQ(first.fields[1].value, "one");
  const RequestHead moved = std::move(first);
  EXPECT_EQ(moved.fields[1].value, "one");
  parser.take_head(second);
  parser.release_buffers();
  EXPECT_EQ(second.authority, "b");
}

TEST(RequestParser, ReusesTheStorageThatTakeHeadSwaps) {
  RequestParser parser{HeadLimits()};
  RequestHead head;
  const std::string bytes(kGet);
  const char* texts[4];
  for (auto& text : texts) {
    ASSERT_TRUE(parser.feed(bytes));
    parser.take_head(head);
    text = head.text.data();
  }
  EXPECT_EQ(texts[0], texts[2]);
  EXPECT_EQ(texts[1], texts[3]);
}

TEST(RequestParser, AppliesTheLimitsItWasGiven) {
  test::ConversationLimits limits;
  limits.head = {.request_line = 20, .header_count = 2, .header_field = 10, .header_bytes = 18};
  const auto status = [&](std::string_view bytes) {
    const int whole = converse(bytes, bytes.size(), limits).status;
    EXPECT_EQ(converse(bytes, 1, limits).status, whole) << bytes;
    return whole;
  };
  EXPECT_EQ(status("GET /34567 HTTP/1.1\r\nHost: a\r\n\r\n"), 0);
  EXPECT_EQ(status("GET /345678 HTTP/1.1\r\nHost: a\r\n\r\n"), 0);
  EXPECT_EQ(status("GET /3456789 HTTP/1.1\r\nHost: a\r\n\r\n"), 414);
  EXPECT_EQ(status("GET / HTTP/1.1\r\nHost: 7890\r\n\r\n"), 0);
  EXPECT_EQ(status("GET / HTTP/1.1\r\nHost: 78901\r\n\r\n"), 431);
  EXPECT_EQ(status("GET / HTTP/1.1\r\nHost: a\r\nB: 4567\r\n\r\n"), 0);
  EXPECT_EQ(status("GET / HTTP/1.1\r\nHost: a\r\nB: 45678\r\n\r\n"), 431);
  EXPECT_EQ(status("GET / HTTP/1.1\r\nHost:a\r\nB:\r\nC:\r\n\r\n"), 431);
}

TEST(RequestParser, RefusesEveryByteThatIsNoTokenInAName) {
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    const bool token =
        std::isalnum(byte) != 0 || (c != '\0' && std::strchr("!#$%&'*+-.^_`|~", c) != nullptr);
    for (const auto& name :
         {std::string("X") + c + "A", c + std::string("XA"), "XA" + std::string(1, c)}) {
      if (c == ':' && name.front() != ':') continue;  // ends the name
      const auto bytes = "GET / HTTP/1.1\r\nHost: a\r\n" + name + ": b\r\n\r\n";
      EXPECT_EQ(converse(bytes, bytes.size()).status, token ? 0 : 400) << byte;
    }
  }
}

TEST(RequestParser, RefusesEveryControlByteInAValueAndNoOther) {
  for (int byte = 0; byte < 256; ++byte) {
    const auto bytes = "GET / HTTP/1.1\r\nHost: a\r\nX-A: b" +
                       std::string(1, static_cast<char>(byte)) + "c\r\n\r\n";
    const bool allowed = byte == '\t' || (byte >= 0x20 && byte != 0x7f);
    EXPECT_EQ(converse(bytes, bytes.size()).status, allowed ? 0 : 400) << byte;
  }
}

}  // namespace
}  // namespace saola::proxy::http1
