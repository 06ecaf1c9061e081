#include "proxy/admin/authorization.h"

#include <gtest/gtest.h>

namespace saola::proxy {
namespace {

TEST(Authorization, TakesTheTokenOfBearerAndThePasswordOfBasic) {
  EXPECT_EQ(given_secret("Bearer open sesame"), "open sesame");
  EXPECT_EQ(given_secret("bearer  abc"), "abc");
  EXPECT_EQ(given_secret("Basic YW55Om9wZW4gc2VzYW1l"), "open sesame");  // any:open sesame
  EXPECT_EQ(given_secret("BASIC OmFiYw=="), "abc");                      // :abc
  EXPECT_EQ(given_secret("Basic bmFtZTphOmI6"), "a:b:");                 // name:a:b:
  EXPECT_EQ(given_secret("Basic bmFtZTo="), "");                         // name:
}

TEST(Authorization, RefusesWhatIsNeither) {
  for (const char* field : {"", "Bearer", "Basic", "Basic ", "Basic bmFtZQ==", "Basic bm FtZTph",
                            "Basic bmFtZTph!", "Basic bmFtZTp", "Digest username=\"a\"",
                            "Basicbm FtZTph", "open sesame", "Basic ====", "Basic bm=tZTph"}) {
    EXPECT_EQ(given_secret(field), std::nullopt) << field;
  }
}

}  // namespace
}  // namespace saola::proxy
