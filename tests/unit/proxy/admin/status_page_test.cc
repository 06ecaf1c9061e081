#include "proxy/admin/status_page.h"

#include <gmock/gmock.h>

#include <string>

namespace saola::proxy {
namespace {

using testing::HasSubstr;
using testing::Not;

// printf 'alert(1)' | openssl dgst -sha256 -binary | base64
constexpr const char* kAlert = "'sha256-bhHHL3z2vDgxUt0W3dWQOrprscmda2Y5pLsLg4GF+pI='";

TEST(StatusPage, ThePolicyNamesInlinePartsByTheirHashes) {
  const auto policy = content_security_policy("<style></style><script>alert(1)</script>");
  EXPECT_THAT(policy, HasSubstr(std::string("script-src ") + kAlert + ";"));
  // Of nothing.
  EXPECT_THAT(policy,
              HasSubstr("style-src 'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=';"));
  EXPECT_THAT(policy, HasSubstr("default-src 'none';"));
}

TEST(StatusPage, ThePolicyAllowsNothingWhereThereIsNothing) {
  EXPECT_THAT(content_security_policy("<p>"), HasSubstr("script-src 'none'; style-src 'none';"));
  EXPECT_THAT(content_security_policy("<script>x"), HasSubstr("script-src 'none';"));
}

// A style or handler in an attribute would be refused by the browser; an address elsewhere too.
TEST(StatusPage, HasNothingThatThePolicyForbids) {
  const std::string page(status_page());
  EXPECT_THAT(page, HasSubstr("<!doctype html>"));
  for (const char* forbidden :
       {" style=", " onclick=", " onload=", "http:", "https:", "<script ", "<style ", "@import",
        "innerHTML", "insertAdjacentHTML", "document.write", "eval("}) {
    EXPECT_THAT(page, Not(HasSubstr(forbidden)));
  }
  EXPECT_THAT(content_security_policy(page), Not(HasSubstr("-src 'none'; style")));
}

}  // namespace
}  // namespace saola::proxy
