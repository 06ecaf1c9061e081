#include "proxy/tls_names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace saola::proxy {
namespace {

using ::testing::ElementsAre;

constexpr int kRsa = 1;
constexpr int kEcdsa = 2;

TEST(TlsNames, HostsAreComparedInOneForm) {
  const std::pair<std::string_view, std::string_view> table[] = {
      {"a.example", "a.example"},
      {"A.ExAmPlE", "a.example"},
      {"a.example.", "a.example"},
      {"xn--bcher-kva.example", "xn--bcher-kva.example"},
      {"10.0.0.1", "10.0.0.1"},
      {"[::1]", "::1"},
      {"[2001:DB8:0:0::1]", "2001:db8::1"},
      {"", ""},
      {".", ""},
      {"[]", "[]"},  // no host has this name
      {"a.example:443", ""},
      {"[::1]:443", ""},
  };
  for (const auto& [host, expected] : table) {
    std::string space;
    EXPECT_EQ(canonical_host(host, space), expected) << host;
  }
  std::string space;
  EXPECT_EQ(canonical_host(std::string(300, 'a'), space), "");
}

TEST(TlsNames, OffersOneCertificateOfEachKeyType) {
  const HostIndex index({
      {{"a.example", "www.a.example"}, kRsa},
      {{"a.example"}, kEcdsa},
      {{"*.a.example"}, kEcdsa},
      {{"a.example"}, kRsa},  // the first of a type counts
      {{"b.example"}, kRsa},
  });
  const auto offered = [&index](std::string_view host) {
    return index.sets()[index.set_for(host)];
  };
  EXPECT_THAT(offered("a.example"), ElementsAre(0, 1));
  EXPECT_THAT(offered("www.a.example"), ElementsAre(0, 2)) << "the wildcard adds its key type";
  EXPECT_THAT(offered("x.a.example"), ElementsAre(2));
  EXPECT_THAT(offered("b.example"), ElementsAre(4));
  EXPECT_THAT(offered("unknown.example"), ElementsAre(0, 1)) << "the default, with its other key";
  EXPECT_EQ(index.set_for("unknown.example"), 0U);
}

TEST(TlsNames, CoversIsAboutTheCertificateNotTheListener) {
  const HostIndex index({{{"a.example"}, kRsa}, {{"*.b.example", "10.0.0.1"}, kRsa}});
  EXPECT_TRUE(index.covers("a.example"));
  EXPECT_TRUE(index.covers("x.b.example"));
  EXPECT_TRUE(index.certificate_covers(1, "x.b.example"));
  EXPECT_TRUE(index.certificate_covers(1, "10.0.0.1"));
  EXPECT_FALSE(index.certificate_covers(0, "x.b.example"));
  EXPECT_FALSE(index.certificate_covers(1, "a.example"));
}

TEST(TlsNames, AWildcardStandsForOneWholeLabel) {
  const HostIndex index({{{"*.b.example", "w*.c.example", "*"}, kRsa}});
  EXPECT_TRUE(index.covers("x.b.example"));
  for (const char* host :
       {"b.example", "x.y.b.example", ".b.example", "www.c.example", "localhost"}) {
    EXPECT_FALSE(index.covers(host)) << host;
  }
}

TEST(TlsNames, CertificatesWithoutNamesStillServeAsDefault) {
  const HostIndex index({{{}, kRsa}, {{"a.example"}, kEcdsa}});
  EXPECT_THAT(index.sets()[0], ElementsAre(0));
  EXPECT_THAT(index.sets()[index.set_for("a.example")], ElementsAre(1));
}

}  // namespace
}  // namespace saola::proxy
