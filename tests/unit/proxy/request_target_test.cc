#include "proxy/request_target.h"

#include <gtest/gtest.h>

namespace saola::proxy {
namespace {

std::string decoded(std::string_view raw) {
  std::string out = "old";
  const auto result = decode_path(raw, out);
  return result ? out : "refused with " + std::to_string(result.error().status);
}

TEST(RequestTarget, DecodesAPathOnce) {
  EXPECT_EQ(decoded("/"), "/");
  EXPECT_EQ(decoded("*"), "*");
  EXPECT_EQ(decoded("/a/b"), "/a/b");
  EXPECT_EQ(decoded("/%41%5a%7e"), "/AZ~");
  EXPECT_EQ(decoded("/a%2Fb%2fc"), "/a/b/c");
  EXPECT_EQ(decoded("/%2541"), "/%41");
  EXPECT_EQ(decoded("/a+b%20c"), "/a+b c");
  EXPECT_EQ(decoded("/caf%C3%A9%ff"), "/caf\xc3\xa9\xff");
  EXPECT_EQ(decoded("/%0d%0a%01"), "/\r\n\x01");  // never a header: nothing refuses it here
}

TEST(RequestTarget, RefusesBrokenSequencesAndNul) {
  for (const auto* raw : {"/%", "/%4", "/%zz", "/%4g", "/%g4", "/%%41", "/% 1", "/%00", "/a%00b",
                          "/%+1", "/%-1", "/%0", "/a%"}) {
    EXPECT_EQ(decoded(raw), "refused with 400") << raw;
  }
  EXPECT_EQ(decoded(std::string_view("/a\0b", 4)), "refused with 400");
  EXPECT_EQ(decoded(std::string_view("/%41\0", 5)), "refused with 400");
}

TEST(RequestTarget, RefusesPathsThatClimbAboveTheRoot) {
  for (const auto* raw :
       {"/..", "/../", "/../a", "/a/../..", "/a/../../b", "/%2e%2e", "/%2E%2e/a", "/.%2e/a",
        "/..%2fa", "/a%2f..%2f..", "/./..", "/a/./../..", "//..", "///../a", "/a//../.."}) {
    EXPECT_EQ(decoded(raw), "refused with 400") << raw;
  }
}

TEST(RequestTarget, LeavesOtherDotSegmentsAndSlashesToTheApplication) {
  for (const auto* raw : {"/a/..", "/a/../b", "/./a", "//a", "/a//b/", "/...", "/..a", "/a..",
                          "/a/b/../../c", "/..;/a", "/a\\..\\..\\b"}) {
    EXPECT_EQ(decoded(raw), raw);
  }
}

}  // namespace
}  // namespace saola::proxy
