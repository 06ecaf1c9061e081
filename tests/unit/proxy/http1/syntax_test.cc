#include "proxy/http1/syntax.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace saola::proxy::http1 {
namespace {

TEST(Syntax, FindsTheFirstControlByteWhereverItIs) {
  for (std::size_t size = 0; size < 70; ++size) {
    std::string text(size, 'x');
    if (size > 3) text[3] = '\t';  // allowed
    if (size > 4) text[4] = '\xff';
    EXPECT_EQ(find_control(text.data(), text.data() + size), text.data() + size);
    for (std::size_t at = 0; at < size; ++at) {
      for (const char c : {'\0', '\x1f', '\x7f', '\r'}) {
        auto bad = text;
        bad[at] = c;
        bad.back() = '\n';
        EXPECT_EQ(find_control(bad.data(), bad.data() + size) - bad.data(), at) << size;
      }
    }
  }
}

TEST(Syntax, AcceptsHostsThatResolveAndNothingElse) {
  for (const auto* good :
       {"a", "a.example", "A.EXAMPLE:80", "a-b_c.example.", "127.0.0.1", "127.0.0.1:65535", "[::1]",
        "[2001:db8::1]:443", "[::ffff:1.2.3.4]", "a:", "a:0", "1", "xn--a~b"}) {
    EXPECT_TRUE(is_valid_authority(good)) << good;
  }
  for (const auto* bad : {"",
                          ":",
                          ":80",
                          "a b",
                          "a,b",
                          "a;b",
                          "a@b",
                          "u@a",
                          "a/b",
                          "a?b",
                          "a#b",
                          "a:b",
                          "a:65536",
                          "a:99999999999",
                          "a:8 0",
                          "a:80:80",
                          "[]",
                          "[::1",
                          "::1",
                          "[::1]a",
                          "[::1]:x",
                          "[1.2.3.4]",
                          "[::1%25eth0]",
                          "a%41",
                          "a\xe9",
                          "[::1]:65536",
                          "a\t",
                          "<a>",
                          "[[::1]]",
                          "*"}) {
    EXPECT_FALSE(is_valid_authority(bad)) << bad;
  }
  EXPECT_FALSE(is_valid_authority(std::string_view("[::1\0]", 6)));
  EXPECT_FALSE(is_valid_authority("[" + std::string(200, '1') + "]"));
}

TEST(Syntax, SplitsAnAuthority) {
  EXPECT_EQ(authority_host("a:80"), "a");
  EXPECT_EQ(authority_port("a:80"), "80");
  EXPECT_EQ(authority_host("[::1]:80"), "[::1]");
  EXPECT_EQ(authority_port("[::1]:80"), "80");
  EXPECT_EQ(authority_port("[::1]"), "");
  EXPECT_EQ(authority_port("a:"), "");
}

TEST(Syntax, ReadsLists) {
  std::string_view list = " , a ,b,\t,c d ,";
  std::vector<std::string_view> elements;
  while (const auto element = next_list_element(list)) elements.push_back(*element);
  EXPECT_EQ(elements, (std::vector<std::string_view>{"a", "b", "c d"}));
}

TEST(Syntax, ReadsContentLengths) {
  EXPECT_EQ(parse_content_length("0"), 0);
  EXPECT_EQ(parse_content_length("9223372036854775807"), INT64_MAX);
  EXPECT_EQ(parse_content_length("00000000000000000000000000000012"), 12);
  for (const auto* bad : {"", "-1", "+1", " 1", "1 ", "1,1", "0x1", "9223372036854775808", "1e3"}) {
    EXPECT_EQ(parse_content_length(bad), std::nullopt) << bad;
  }
}

TEST(Syntax, KnowsTokens) {
  EXPECT_TRUE(is_token("!#$%&'*+-.^_`|~09azAZ"));
  for (const auto* bad : {"", "a b", "a:", "(a)", "a\"", "a,", "\xe9", "a/b", "{", "}", "[", "]"}) {
    EXPECT_FALSE(is_token(bad)) << bad;
  }
}

}  // namespace
}  // namespace saola::proxy::http1
