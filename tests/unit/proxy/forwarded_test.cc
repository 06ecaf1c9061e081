#include "proxy/forwarded.h"

#include <gtest/gtest.h>

#include "proxy/forwarded_header.h"

namespace saola::proxy {
namespace {

using config::Forwarded;
using ipc::Scheme;

TrustedNetworks networks(const std::vector<std::string>& texts) {
  auto parsed = TrustedNetworks::parse(texts);
  EXPECT_TRUE(parsed) << parsed.error().message;
  return std::move(parsed).value();
}

TEST(TrustedNetworks, ContainAddressesBelowTheirPrefix) {
  const auto some = networks({"10.0.0.0/8", "192.0.2.64/26", "192.0.2.1", "2001:db8::/33", "::1"});
  for (const auto* in : {"10.0.0.0", "10.255.255.255", "192.0.2.64", "192.0.2.127", "192.0.2.1",
                         "2001:db8::1", "2001:db8:7fff::", "::1", "::ffff:10.1.2.3"}) {
    EXPECT_TRUE(some.contains(in)) << in;
  }
  for (const auto* out :
       {"11.0.0.0", "9.255.255.255", "192.0.2.63", "192.0.2.128", "192.0.2.2",
        "2001:db8:8000::", "::2", "", "::ffff:11.0.0.1", "x", "10.0.0", "::a00:1"}) {
    EXPECT_FALSE(some.contains(out)) << out;
  }
}

TEST(TrustedNetworks, HaveWordsForUnixSocketsAndEveryone) {
  EXPECT_TRUE(networks({"unix"}).contains(""));
  EXPECT_FALSE(networks({"unix"}).contains("127.0.0.1"));
  EXPECT_TRUE(networks({"*"}).contains(""));
  EXPECT_TRUE(networks({"*"}).contains("203.0.113.1"));
  EXPECT_TRUE(networks({"0.0.0.0/0"}).contains("203.0.113.1"));
  EXPECT_FALSE(networks({"0.0.0.0/0"}).contains("2001:db8::1"));
  EXPECT_TRUE(networks({"::/0"}).contains("203.0.113.1"));
  EXPECT_TRUE(networks({"::ffff:10.0.0.0/104"}).contains("10.1.1.1"));
  EXPECT_TRUE(networks({}).empty());
  EXPECT_FALSE(networks({"unix"}).empty());
}

TEST(TrustedNetworks, SayWhatIsWrong) {
  for (const auto* bad :
       {"", "x", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/8x", "::/129", "10.0.0/8",
        "10.0.0.1/8", "2001:db8::1/32", "/8", "10.0.0.0/+8", "Unix"}) {
    EXPECT_FALSE(TrustedNetworks::parse({bad})) << bad;
  }
  EXPECT_EQ(TrustedNetworks::parse({"10.1.2.3/8"}).error().message,
            "'10.1.2.3/8' has bits set behind its prefix: the network is 10.0.0.0/8");
}

class ResolveClient : public testing::Test {
 protected:
  // The client as "host:port scheme authority".
  std::string resolve(Forwarded source,
                      const std::vector<std::pair<const char*, const char*>>& named,
                      std::string peer = "10.0.0.1") {
    std::vector<ipc::Field> fields;
    fields.reserve(named.size());
    for (const auto& [name, value] : named) {
      fields.push_back({ipc::header_name_id(name), name, value});
    }
    const ClientInfo direct{std::move(peer), 4711, Scheme::kHttp, std::nullopt};
    const auto client = resolve_client(source, trusted_, direct, fields);
    return client.host + ":" + std::to_string(client.port) +
           (client.scheme == Scheme::kHttps ? " https" : " http") +
           (client.authority ? " " + *client.authority : "");
  }
  std::string x(const char* addresses, const char* proto = "", const char* host = "") {
    return resolve(
        Forwarded::kXForwarded,
        {{"x-forwarded-for", addresses}, {"x-forwarded-proto", proto}, {"x-forwarded-host", host}});
  }
  std::string rfc(const char* value) {
    return resolve(Forwarded::kRfc7239, {{"forwarded", value}});
  }

  TrustedNetworks trusted_ = networks({"10.0.0.0/8", "unix"});
};

TEST_F(ResolveClient, BelievesNobodyElse) {
  EXPECT_EQ(
      resolve(Forwarded::kXForwarded,
              {{"x-forwarded-for", "192.0.2.1"}, {"x-forwarded-proto", "https"}}, "192.0.2.9"),
      "192.0.2.9:4711 http");
  EXPECT_EQ(resolve(Forwarded::kRfc7239, {{"forwarded", "for=192.0.2.1"}}, "192.0.2.9"),
            "192.0.2.9:4711 http");
  EXPECT_EQ(resolve(Forwarded::kXForwarded, {{"x-forwarded-for", "192.0.2.1"}}, ""),
            "192.0.2.1:0 http");
}

TEST_F(ResolveClient, ReadsOnlyTheConfiguredSource) {
  for (const auto source : {Forwarded::kOff, Forwarded::kProxyProtocol, Forwarded::kRfc7239}) {
    EXPECT_EQ(resolve(source, {{"x-forwarded-for", "192.0.2.1"}, {"x-forwarded-proto", "https"}}),
              "10.0.0.1:4711 http");
  }
  EXPECT_EQ(resolve(Forwarded::kXForwarded, {{"forwarded", "for=192.0.2.1;proto=https"}}),
            "10.0.0.1:4711 http");
}

TEST_F(ResolveClient, WalksFromTheRightToTheFirstThatIsNotTrusted) {
  EXPECT_EQ(x("192.0.2.1"), "192.0.2.1:0 http");
  EXPECT_EQ(x("203.0.113.66, 192.0.2.1, 10.0.0.2"), "192.0.2.1:0 http");
  EXPECT_EQ(x("10.0.0.3, 10.0.0.2"), "10.0.0.3:0 http");
  EXPECT_EQ(resolve(Forwarded::kXForwarded, {{"x-forwarded-for", "203.0.113.66"},
                                             {"x-forwarded-for", "192.0.2.1, 10.0.0.2"}}),
            "192.0.2.1:0 http");
  EXPECT_EQ(x("192.0.2.1:8080"), "192.0.2.1:8080 http");
  EXPECT_EQ(x("2001:DB8::1"), "2001:db8::1:0 http");
  EXPECT_EQ(x("[2001:db8::1]:443"), "2001:db8::1:443 http");
  EXPECT_EQ(x("::ffff:192.0.2.1"), "192.0.2.1:0 http");
}

TEST_F(ResolveClient, KeepsTheSocketsAddressIfTheChainCannotBeRead) {
  for (const auto* bad : {"unknown", "192.0.2.1, x", "192.0.2.1, 10.0.0.2:99999", "192.0.2.1:",
                          "[192.0.2.1]", "[::1", "192.0.2.1 10.0.0.2", "_hidden", "-", "1.2.3"}) {
    EXPECT_EQ(x(bad), "10.0.0.1:4711 http") << bad;
  }
  EXPECT_EQ(x(""), "10.0.0.1:4711 http");
  EXPECT_EQ(x("x, 192.0.2.1"), "192.0.2.1:0 http") << "what is left of the client does not matter";
  EXPECT_EQ(x("x, 10.0.0.2", "https"), "10.0.0.1:4711 https");
}

TEST_F(ResolveClient, TakesSchemeAndHostOfTheSameHop) {
  EXPECT_EQ(x("192.0.2.1", "https", "a.example"), "192.0.2.1:0 https a.example");
  EXPECT_EQ(x("192.0.2.1, 10.0.0.2", "https, http", "a.example, b"), "192.0.2.1:0 https a.example");
  EXPECT_EQ(x("203.0.113.6, 192.0.2.1, 10.0.0.2", "http, https, http"), "192.0.2.1:0 https");
  EXPECT_EQ(x("192.0.2.1, 10.0.0.2", "https"), "192.0.2.1:0 https");
  EXPECT_EQ(x("192.0.2.1, 10.0.0.2", "spoofed, http, https"), "192.0.2.1:0 https");
  EXPECT_EQ(x("192.0.2.1", "HTTPS"), "192.0.2.1:0 https");
  EXPECT_EQ(x("192.0.2.1", "wss"), "192.0.2.1:0 https");
  EXPECT_EQ(x("192.0.2.1", "gopher", "a/b"), "192.0.2.1:0 http");
}

TEST_F(ResolveClient, ReadsRfc7239) {
  EXPECT_EQ(rfc("for=192.0.2.1"), "192.0.2.1:0 http");
  EXPECT_EQ(rfc("For=\"[2001:db8::1]:443\";proto=HTTPS;host=\"a.example:8443\";by=203.0.113.43"),
            "2001:db8::1:443 https a.example:8443");
  EXPECT_EQ(rfc("for=203.0.113.6;proto=http, for=192.0.2.1;proto=https , , for=10.0.0.2;host=b"),
            "192.0.2.1:0 https b");
  EXPECT_EQ(rfc("for=\"192\\.0.2.1\""), "192.0.2.1:0 http");
  EXPECT_EQ(rfc("for=192.0.2.1; proto=https ;"), "192.0.2.1:0 https");
  EXPECT_EQ(
      resolve(Forwarded::kRfc7239, {{"forwarded", "for=192.0.2.1"}, {"forwarded", "for=10.0.0.2"}}),
      "192.0.2.1:0 http");
}

TEST_F(ResolveClient, EndsTheChainAtAHiddenNode) {
  EXPECT_EQ(rfc("for=192.0.2.1, for=unknown;proto=https"), "10.0.0.1:4711 https");
  EXPECT_EQ(rfc("for=192.0.2.1, for=_hidden, for=10.0.0.2"), "10.0.0.2:0 http");
  EXPECT_EQ(rfc("for=192.0.2.1, proto=https"), "10.0.0.1:4711 https");
}

TEST_F(ResolveClient, DoesNotBelieveAMalformedForwarded) {
  for (const auto* bad :
       {"for", "for=", "for=192.0.2.1 proto=https", "for=192.0.2.1;for=192.0.2.2",
        "for=\"192.0.2.1", "for=[2001:db8::1]", "=192.0.2.1", "for =192.0.2.1",
        "for=192.0.2.1;proto", "for=192.0.2.1\"", "for=\"a\\", "for=192.0.2.1, ;x", "for=1:2"}) {
    EXPECT_EQ(rfc(bad), "10.0.0.1:4711 http") << bad;
  }
}

TEST(ForwardedHeader, SplitsIntoElements) {
  std::vector<ForwardedElement> elements;
  ASSERT_TRUE(parse_forwarded("for=a;host=\"b \\\" c\" , ,proto=d;x=\"\"", elements));
  ASSERT_EQ(elements.size(), 2U);
  EXPECT_EQ(elements[0].node, "a");
  EXPECT_EQ(elements[0].host, "b \" c");
  EXPECT_EQ(elements[1].proto, "d");
  EXPECT_TRUE(parse_forwarded("", elements));
}

TEST(StrippedFields, AreAllThatTheSourceDoesNotCover) {
  const auto stripped = [](Forwarded source, bool trusted, std::string_view name) {
    return is_stripped_forwarding_field(source, trusted, ipc::header_name_id(name), name);
  };
  const auto sources = {Forwarded::kOff, Forwarded::kXForwarded, Forwarded::kRfc7239,
                        Forwarded::kProxyProtocol};
  for (const auto source : sources) {
    for (const bool trusted : {false, true}) {
      const bool x_kept = source == Forwarded::kXForwarded && trusted;
      for (const auto* name :
           {"x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port",
            "x-forwarded-ssl", "x-forwarded-prefix", "x-forwarded-server", "x-real-ip"}) {
        EXPECT_EQ(stripped(source, trusted, name), !x_kept) << name;
      }
      EXPECT_EQ(stripped(source, trusted, "forwarded"),
                !(source == Forwarded::kRfc7239 && trusted));
      for (const auto* name : {"host", "x-custom", "x-forwarded", "x-request-id", "via", "x"}) {
        EXPECT_FALSE(stripped(source, trusted, name)) << name;
      }
    }
  }
}

}  // namespace
}  // namespace saola::proxy
