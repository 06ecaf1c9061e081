#include "common/core/redaction.h"

#include <gtest/gtest.h>

#include <utility>

namespace saola {
namespace {

constexpr Redaction kAll{true, true, true};

std::string shown(std::string_view text, const Redaction& redaction = kAll) {
  std::string out;
  append_redacted(out, text, redaction);
  return out;
}

TEST(Redaction, HidesHeadersHoweverTheyAreWritten) {
  const std::pair<const char*, const char*> table[] = {
      {"Authorization: Basic YWxpY2U6", "Authorization: [redacted]"},
      {"authorization:secret\nnext line", "authorization:[redacted]\nnext line"},
      {"'HTTP_AUTHORIZATION': 'Bearer x', 'b': 1", "'HTTP_AUTHORIZATION': '[redacted]', 'b': 1"},
      {"(b'authorization', b'Bearer x')", "(b'authorization', b'[redacted]')"},
      {"('Cookie', \"a='b'; c\")", "('Cookie', \"[redacted]\")"},
      {"Set-Cookie: sid=1; HttpOnly", "Set-Cookie: [redacted]"},
      {"Proxy-Authorization: x y", "Proxy-Authorization: [redacted]"},
      {"{\"cookie\": \"a\\\"b\", \"c\": 2}", "{\"cookie\": \"[redacted]\", \"c\": 2}"},
      {"the cookie was eaten", "the cookie was eaten"},
      {"Authorization:", "Authorization:"},
      {"cookie", "cookie"},
      {"", ""},
  };
  for (const auto& [text, expected] : table) EXPECT_EQ(shown(text), expected) << text;
}

TEST(Redaction, HidesQueriesOfUrls) {
  const std::pair<const char*, const char*> table[] = {
      {"GET /a?token=1 HTTP/1.1", "GET /a?[redacted] HTTP/1.1"},
      {"see \"https://h/p?x=y#z\", ok", "see \"https://h/p?[redacted]\", ok"},
      {"why? because", "why? because"},
      {"is a/b? yes", "is a/b? yes"},
      {"/a? /b?c", "/a? /b?[redacted]"},
      {"'QUERY_STRING': 'a=b', 'c': 1", "'QUERY_STRING': '[redacted]', 'c': 1"},
      {"b'query_string': b'a=b'", "b'query_string': b'[redacted]'"},
  };
  for (const auto& [text, expected] : table) EXPECT_EQ(shown(text), expected) << text;
}

TEST(Redaction, HidesOnlyWhatItIsAskedTo) {
  const std::string text = "Authorization: a\nCookie: b\nGET /c?d";
  EXPECT_EQ(shown(text, {true, false, false}), "Authorization: [redacted]\nCookie: b\nGET /c?d");
  EXPECT_EQ(shown(text, {false, true, false}), "Authorization: a\nCookie: [redacted]\nGET /c?d");
  EXPECT_EQ(shown(text, {false, false, true}), "Authorization: a\nCookie: b\nGET /c?[redacted]");
  EXPECT_EQ(shown(text, {}), text);
}

TEST(Redaction, KnowsTheNamesOfFields) {
  for (const char* name : {"authorization", "proxy-authorization", "proxy_authorization"}) {
    EXPECT_TRUE(is_hidden_field(name, {true, false, false})) << name;
    EXPECT_FALSE(is_hidden_field(name, {false, true, true})) << name;
  }
  for (const char* name : {"cookie", "set-cookie", "set_cookie"}) {
    EXPECT_TRUE(is_hidden_field(name, {false, true, false})) << name;
  }
  EXPECT_FALSE(is_hidden_field("x-cookie-policy", kAll));
}

}  // namespace
}  // namespace saola
