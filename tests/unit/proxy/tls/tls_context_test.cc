#include "proxy/tls_context.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "certificate_maker.h"
#include "tls_client.h"

namespace saola::proxy::testing {
namespace {

using std::chrono::hours;
using std::chrono::steady_clock;
using ::testing::HasSubstr;

std::unique_ptr<TlsContext> context_of(const std::vector<CertificateSpec>& specs,
                                       const config::Tls& tls = {},
                                       const std::vector<std::string>& protocols = {"http/1.1"}) {
  std::vector<ipc::KeyPair> pairs;
  for (const CertificateSpec& spec : specs) {
    pairs.push_back(key_pair(make_certificate(spec), static_cast<int>(pairs.size()) + 1));
  }
  auto context = TlsContext::create(tls, protocols, pairs);
  if (!context) ADD_FAILURE() << context.error().message;
  return std::move(*context);
}

std::string shown_to(TlsContext& context, const ClientOptions& options) {
  TlsPair pair(context, options);
  pair.connect();
  return pair.client->common_name();
}

TEST(TlsContext, ChoosesTheCertificateByTheClientsName) {
  const auto context = context_of({
      {.common_name = "first", .names = {"DNS:a.example", "DNS:www.a.example"}},
      {.common_name = "wild", .names = {"DNS:*.b.example"}},
      {.common_name = "exact", .names = {"DNS:x.b.example"}},
      {.common_name = "old.example"},  // no alternative name: the common name counts
      {.common_name = "hidden.example", .names = {"DNS:shown.example"}},
  });
  const std::pair<const char*, const char*> table[] = {
      {"", "first"},
      {"unknown.example", "first"},
      {"a.example", "first"},
      {"A.EXAMPLE", "first"},
      {"y.b.example", "wild"},
      {"Y.B.Example", "wild"},
      {"x.b.example", "exact"},
      {"b.example", "first"},
      {"y.x.b.example", "first"},
      {"old.example", "old.example"},
      {"hidden.example", "first"},
      {"shown.example", "hidden.example"},
  };
  for (const auto& [name, expected] : table) {
    EXPECT_EQ(shown_to(*context, {.server_name = name}), expected) << name;
  }
}

TEST(TlsContext, ServesEcdsaAndRsaForOneNameAsTheClientCan) {
  const auto context = context_of({
      {.common_name = "rsa", .names = {"DNS:a.example"}, .key = KeyKind::kRsa},
      {.common_name = "ecdsa", .names = {"DNS:a.example"}},
      {.common_name = "only rsa", .names = {"DNS:b.example"}, .key = KeyKind::kRsa},
  });
  const std::string rsa = "RSA-PSS+SHA256:RSA+SHA256";
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    for (const char* name : {"", "a.example"}) {
      ClientOptions options{.server_name = name, .signature_algorithms = rsa};
      options.max_version = version;
      EXPECT_EQ(shown_to(*context, options), "rsa");
      options.signature_algorithms = "ECDSA+SHA256";
      EXPECT_EQ(shown_to(*context, options), "ecdsa");
      options.signature_algorithms = "ECDSA+SHA256:" + rsa;
      EXPECT_EQ(shown_to(*context, options), "ecdsa") << "the cheaper one if both fit";
    }
    ClientOptions both{.server_name = "b.example", .signature_algorithms = "ECDSA+SHA256:" + rsa};
    both.max_version = version;
    EXPECT_EQ(shown_to(*context, both), "only rsa");
  }
}

TEST(TlsContext, KnowsWhichHostsAreNotItsOwn) {
  const auto context = context_of({
      {.common_name = "a", .names = {"DNS:a.example", "IP:127.0.0.1", "IP:::1"}},
      {.common_name = "b", .names = {"DNS:*.b.example"}},
  });
  for (const char* host : {"a.example", "A.Example", "a.example.", "x.b.example", "127.0.0.1",
                           "[::1]", "::1", "[0:0:0:0:0:0:0:1]"}) {
    EXPECT_TRUE(context->covers(host)) << host;
  }
  for (const char* host : {"", "b.example", "y.x.b.example", "c.example", "127.0.0.2", "[::2]",
                           ".b.example", "*.c.example", "a.example:443"}) {
    EXPECT_FALSE(context->covers(host)) << host;
  }
  TlsPair pair(*context, {.server_name = "x.b.example"});
  pair.connect();
  EXPECT_TRUE(pair.server->certificate_covers("y.b.example"));
  EXPECT_FALSE(pair.server->certificate_covers("a.example")) << "that is another certificate's";
}

TEST(TlsContext, NegotiatesProtocolsInTheServersOrder) {
  struct Row {
    std::vector<std::string> ours;
    std::string offered;
    std::string chosen;  // "!": refused
  };
  const Row table[] = {
      {{"h2", "http/1.1"}, "\x08http/1.1\x02h2", "h2"},
      {{"http/1.1", "h2"}, "\x02h2\x08http/1.1", "http/1.1"},
      {{"http/1.1"}, "\x02h2\x08http/1.1", "http/1.1"},
      {{"http/1.1"}, "", ""},
      {{"http/1.1"}, "\x02h2", "!"},
      {{}, "\x08http/1.1", "http/1.1"},
  };
  for (const Row& row : table) {
    const auto context = context_of({{.names = {"DNS:a.example"}}}, {}, row.ours);
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
      ClientOptions options{.alpn = row.offered};
      options.max_version = version;
      TlsPair pair(*context, options);
      const StreamStatus status = pair.client->handshake(*pair.server);
      if (row.chosen == "!") {
        EXPECT_EQ(status, StreamStatus::kError);
        EXPECT_THAT(pair.client->refusal(), HasSubstr("no application protocol"));
      } else {
        EXPECT_EQ(status, StreamStatus::kOk) << pair.server->error();
        EXPECT_EQ(pair.server->alpn(), row.chosen);
      }
    }
  }
}

// A session of a new connection, after one exchange (TLS 1.3 clients read tickets with data).
SessionPtr session_from(TlsContext& context, int version, const char* name = "a.example") {
  ClientOptions options{.server_name = name};
  options.max_version = version;
  TlsPair pair(context, options);
  pair.connect();
  EXPECT_FALSE(pair.server->session_resumed());
  return pair.client->take_session();
}

bool resumes(TlsContext& context, int version, SSL_SESSION* session,
             const char* name = "a.example") {
  const SessionPtr copy(SSL_SESSION_dup(session));
  ClientOptions options{.server_name = name, .session = copy.get()};
  options.max_version = version;
  TlsPair pair(context, options);
  pair.connect();
  pair.client->write("ping");
  EXPECT_EQ(pair.server_read(), "ping");
  pair.server->write("pong");
  EXPECT_EQ(pair.client_read(), "pong");
  return pair.server->session_resumed();
}

TEST(TlsContext, SessionsResumeOverTwoRotationsOfTheTicketKeys) {
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    const auto context = context_of({{.names = {"DNS:a.example"}}});
    const auto start = steady_clock::now();
    const SessionPtr session = session_from(*context, version);
    ASSERT_NE(session, nullptr);
    EXPECT_TRUE(resumes(*context, version, session.get()));
    context->rotate_ticket_keys(start + hours(11));
    context->rotate_ticket_keys(start + hours(13));
    EXPECT_TRUE(resumes(*context, version, session.get()));
    context->rotate_ticket_keys(start + hours(26));
    EXPECT_TRUE(resumes(*context, version, session.get()));
    context->rotate_ticket_keys(start + hours(39));
    EXPECT_FALSE(resumes(*context, version, session.get())) << "its key is gone";
    EXPECT_TRUE(resumes(*context, version, session_from(*context, version).get()));
  }
}

TEST(TlsContext, TicketKeysOfAMachineThatSleptAreGone) {
  const auto context = context_of({{.names = {"DNS:a.example"}}});
  const auto start = steady_clock::now();
  const SessionPtr session = session_from(*context, TLS1_3_VERSION);
  context->rotate_ticket_keys(start + hours(24 * 7));
  EXPECT_FALSE(resumes(*context, TLS1_3_VERSION, session.get()));
}

TEST(TlsContext, TicketsOfAnotherListenerMeanAFullHandshake) {
  const auto one = context_of({{.names = {"DNS:a.example"}}});
  const auto other = context_of({{.names = {"DNS:a.example"}}});
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    EXPECT_FALSE(resumes(*other, version, session_from(*one, version).get()));
  }
}

TEST(TlsContext, SessionsResumeForNamesBesideTheDefault) {
  const auto context = context_of({{.names = {"DNS:a.example"}}, {.names = {"DNS:b.example"}}});
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    const SessionPtr session = session_from(*context, version, "b.example");
    EXPECT_TRUE(resumes(*context, version, session.get(), "b.example"));
  }
}

TEST(TlsContext, NoTicketsIfTheyAreOff) {
  config::Tls tls;
  tls.session_tickets = false;
  const auto context = context_of({{.names = {"DNS:a.example"}}}, tls);
  EXPECT_EQ(session_from(*context, TLS1_3_VERSION), nullptr);
  const SessionPtr session = session_from(*context, TLS1_2_VERSION);
  if (session != nullptr) {
    EXPECT_FALSE(resumes(*context, TLS1_2_VERSION, session.get()));
  }
}

struct RefusedClient {
  const char* what;
  ClientOptions options;
  config::Tls tls;
};

TEST(TlsContext, RefusesWhatIsNotModern) {
  ClientOptions tls11;
  tls11.max_version = TLS1_1_VERSION;
  ClientOptions tls12;
  tls12.max_version = TLS1_2_VERSION;
  ClientOptions cbc = tls12;
  cbc.ciphers = "ECDHE-ECDSA-AES128-SHA256";
  ClientOptions aes256 = tls12;
  aes256.ciphers = "ECDHE-ECDSA-AES256-GCM-SHA384";
  config::Tls only13;
  only13.min_version = config::TlsVersion::kTls13;
  config::Tls only_aes128;
  only_aes128.ciphers = "ECDHE-ECDSA-AES128-GCM-SHA256";
  const RefusedClient table[] = {
      {"TLS 1.1", tls11, {}},
      {"a cipher without authentication", cbc, {}},
      {"TLS 1.2 where 1.3 is the least", tls12, only13},
      {"a cipher that the operator left out", aes256, only_aes128},
  };
  for (const RefusedClient& row : table) {
    const auto context = context_of({{.names = {"DNS:a.example"}}}, row.tls);
    TlsPair pair(*context, row.options);
    EXPECT_EQ(pair.client->handshake(*pair.server), StreamStatus::kError) << row.what;
    EXPECT_TRUE(pair.client->was_refused()) << row.what << ": the client gets an alert";
    EXPECT_THAT(pair.server->error(), HasSubstr("TLS handshake: ")) << row.what;
  }
  const auto context = context_of({{.names = {"DNS:a.example"}}}, only_aes128);
  EXPECT_EQ(shown_to(*context, tls12), "test");
}

TEST(TlsContext, SettingsThatMeanNothingAreErrors) {
  const MadeCertificate made = make_certificate({});
  const auto error_of = [&made](const config::Tls& tls, const std::vector<std::string>& protocols) {
    const auto context = TlsContext::create(tls, protocols, {key_pair(made)});
    return context ? std::string() : context.error().message;
  };
  config::Tls tls;
  tls.ciphers = "NO-SUCH-CIPHER";
  EXPECT_THAT(error_of(tls, {}), HasSubstr("tls.ciphers: 'NO-SUCH-CIPHER'"));
  tls = {};
  tls.ciphersuites = "TLS_NO_SUCH_SUITE:TLS_NEITHER";
  EXPECT_THAT(error_of(tls, {}), HasSubstr("tls.ciphersuites: 'TLS_NO"));
  tls = {};
  tls.groups = "X25518";
  EXPECT_THAT(error_of(tls, {}), HasSubstr("tls.groups: 'X25518'"));
  EXPECT_THAT(error_of({}, {""}), HasSubstr("protocols: ''"));
  const auto nothing = TlsContext::create({}, {}, {});
  ASSERT_FALSE(nothing);
  EXPECT_EQ(nothing.error().message, "tls: no certificate");
}

TEST(TlsContext, RefusesKeysTooSmallToBeSafe) {
  const MadeCertificate weak = make_certificate({.key = KeyKind::kRsa, .rsa_bits = 1024});
  const auto context = TlsContext::create({}, {}, {key_pair(weak)});
  ASSERT_FALSE(context);
  EXPECT_EQ(context.error().message, "cert1.pem: ee key too small");
}

TEST(TlsContext, TellsWhenCertificatesExpire) {
  const auto context =
      context_of({{.valid_to_days = 10}, {.common_name = "late", .valid_from_days = 5}});
  const auto now = std::chrono::system_clock::now();
  ASSERT_EQ(context->expiries().size(), 2U);
  EXPECT_EQ(context->expiries()[0].certificate_path, "cert1.pem");
  EXPECT_NEAR(static_cast<double>((context->expiries()[0].not_after - now) / hours(1)), 240, 1);
  EXPECT_EQ(context->expiries()[1].certificate_path, "cert2.pem");
  EXPECT_GT(context->expiries()[1].not_before, now) << "not valid yet";
}

TEST(TlsContext, ServesEd25519) {
  const auto context = context_of({{.common_name = "ed", .key = KeyKind::kEd25519}});
  EXPECT_EQ(shown_to(*context, {}), "ed");
}

}  // namespace
}  // namespace saola::proxy::testing
