#include "common/control/key_material.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include "tests/support/temporary_directory.h"

namespace saola::control {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class KeyMaterialTest : public testing::Test {
 protected:
  KeyMaterialTest() { config_.directory = directory_.path(); }

  config::Listen& add(const std::string& address, std::vector<config::Certificate> certificates) {
    auto& listen = config_.listen.emplace_back();
    listen.address = address;
    listen.tls.emplace().certificates = std::move(certificates);
    return listen;
  }

  test::TemporaryDirectory directory_;
  config::Config config_;
};

TEST_F(KeyMaterialTest, ReadsPathsRelativeToTheConfiguration) {
  directory_.write("cert.pem", "the certificate");
  ::chmod(directory_.write("key.pem", "the key").c_str(), 0600);
  directory_.write("password", "correct horse\n");
  add("0.0.0.0:8443", {{"cert.pem", "key.pem", "password"}});
  config_.listen.emplace_back();  // plain

  const auto material = read_key_material(config_);
  ASSERT_TRUE(material);
  ASSERT_EQ(material->pairs.size(), 2U);
  ASSERT_EQ(material->pairs[0].size(), 1U);
  EXPECT_EQ(material->pairs[0][0].certificate_pem, "the certificate");
  EXPECT_EQ(material->pairs[0][0].key_pem, "the key");
  EXPECT_EQ(material->pairs[0][0].key_password, "correct horse");
  EXPECT_EQ(material->pairs[0][0].certificate_path, directory_.path("cert.pem"));
  EXPECT_TRUE(material->pairs[1].empty());
  EXPECT_TRUE(material->warnings.empty());
}

TEST_F(KeyMaterialTest, ReportsEveryFileThatCannotBeReadWithItsReason) {
  directory_.write("empty.pem", "");
  add("0.0.0.0:8443", {{"missing.pem", "empty.pem", ""}});
  add("[::]:9443", {{"/", "/dev/null", ""}});
  const auto material = read_key_material(config_);
  ASSERT_FALSE(material);
  EXPECT_THAT(
      material.error(),
      ElementsAre("[[listen]] 0.0.0.0:8443: certificate " + directory_.path("missing.pem") +
                      ": No such file or directory",
                  "[[listen]] 0.0.0.0:8443: key " + directory_.path("empty.pem") + ": is empty",
                  "[[listen]] [::]:9443: certificate /: is a directory",
                  "[[listen]] [::]:9443: key /dev/null: is no regular file"));
}

TEST_F(KeyMaterialTest, WarnsOfAKeyThatEverybodyCanRead) {
  directory_.write("cert.pem", "c");
  ::chmod(directory_.write("key.pem", "k").c_str(), 0644);
  add("0.0.0.0:8443", {{"cert.pem", "key.pem", ""}});
  const auto material = read_key_material(config_);
  ASSERT_TRUE(material);
  EXPECT_THAT(material->warnings, ElementsAre(HasSubstr("key.pem can be read by every user")));
}

}  // namespace
}  // namespace saola::control
