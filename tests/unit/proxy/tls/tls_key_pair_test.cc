#include "proxy/tls_key_pair.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include "certificate_maker.h"

namespace saola::proxy::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

struct Chain {
  MadeCertificate root = make_certificate({.common_name = "root"});
  MadeCertificate middle = make_certificate({.common_name = "middle", .valid_to_days = 20}, &root);
  MadeCertificate leaf =
      make_certificate({.common_name = "leaf", .names = {"DNS:leaf.example"}}, &middle);
  MadeCertificate stranger = make_certificate({.common_name = "stranger"});

  ipc::KeyPair with(const std::string& certificates) const {
    return {certificates, leaf.key_pem, "", "cert.pem"};
  }
};

std::string error_of(const ipc::KeyPair& pair) {
  const auto loaded = load_key_pair(pair, "key.pem");
  EXPECT_EQ(ERR_peek_error(), 0U) << "OpenSSL's error queue is left empty";
  return loaded ? "" : loaded.error().message;
}

TEST(TlsKeyPair, ErrorsNameTheFileAndTheReason) {
  const MadeCertificate made = make_certificate({});
  const MadeCertificate other = make_certificate({});
  const MadeCertificate issued = make_certificate({.common_name = "issued"}, &other);
  const std::string locked = encrypted_key_pem(made, "right");
  std::string damaged = made.certificate_pem;
  damaged[damaged.size() / 2] = '!';
  std::string damaged_key = made.key_pem;
  damaged_key[damaged_key.size() / 2] = '!';
  struct Row {
    ipc::KeyPair pair;
    const char* message;
  };
  const Row table[] = {
      {{made.certificate_pem, made.key_pem, "", "cert.pem"}, ""},
      {{made.certificate_pem, locked, "right", "cert.pem"}, ""},
      {{made.certificate_pem, locked, "", "cert.pem"},
       "key.pem: the key is encrypted: set key_password_file"},
      {{made.certificate_pem, locked, "wrong", "cert.pem"}, "key.pem: the key's password is wrong"},
      {{made.certificate_pem, other.key_pem, "", "cert.pem"},
       "key.pem: the key does not belong to the certificate in cert.pem"},
      {{"", made.key_pem, "", "cert.pem"},
       "cert.pem: no PEM certificate in it (the file is empty)"},
      {{"hello", made.key_pem, "", "cert.pem"},
       "cert.pem: no PEM certificate in it (no -----BEGIN line)"},
      {{"0\x82\x01", made.key_pem, "", "cert.pem"},
       "cert.pem: no PEM certificate in it (it looks like DER: convert it with openssl)"},
      {{made.key_pem, made.key_pem, "", "cert.pem"}, "cert.pem: no PEM certificate in it"},
      {{damaged, made.key_pem, "", "cert.pem"}, "cert.pem: certificate 1 in it is damaged: "},
      {{made.certificate_pem + damaged, made.key_pem, "", "cert.pem"},
       "cert.pem: certificate 2 in it is damaged: "},
      {{made.certificate_pem, made.certificate_pem, "", "cert.pem"},
       "key.pem: no PEM private key in it"},
      {{made.certificate_pem, "", "", "cert.pem"},
       "key.pem: no PEM private key in it (the file is empty)"},
      {{made.certificate_pem, damaged_key, "", "cert.pem"},
       "key.pem: the private key is damaged: "},
      {{other.certificate_pem + issued.certificate_pem, issued.key_pem, "", "cert.pem"},
       "cert.pem: the server's own certificate must come first, then its issuer"},
  };
  for (const Row& row : table) {
    EXPECT_THAT(error_of(row.pair), ::testing::StartsWith(row.message));
    if (*row.message == '\0') {
      EXPECT_EQ(error_of(row.pair), "");
    }
  }
}

TEST(TlsKeyPair, KeyAndCertificateMayShareAFile) {
  const MadeCertificate made = make_certificate({});
  const std::string both = made.key_pem + made.certificate_pem;
  EXPECT_EQ(error_of({both, both, "", "both.pem"}), "");
}

TEST(TlsKeyPair, ReadsTraditionalEcKeysWithTheirParameters) {
  const MadeCertificate made = make_certificate({});
  const CPtr<BIO, BIO_free> out(BIO_new(BIO_s_mem()));
  PEM_write_bio_PrivateKey_traditional(out.get(), made.key.get(), nullptr, nullptr, 0, nullptr,
                                       nullptr);
  char* text = nullptr;
  const long length = BIO_get_mem_data(out.get(), &text);
  const std::string parameters =
      "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
  const std::string key = parameters + std::string(text, static_cast<std::size_t>(length));
  ASSERT_THAT(key, HasSubstr("BEGIN EC PRIVATE KEY"));
  EXPECT_EQ(error_of({made.certificate_pem, key, "", "cert.pem"}), "");
}

TEST(TlsKeyPair, PutsTheChainInOrder) {
  const Chain chain;
  const std::string leaf = chain.leaf.certificate_pem;
  const std::string middle = chain.middle.certificate_pem;
  const std::string root = chain.root.certificate_pem;

  auto loaded = load_key_pair(chain.with(leaf + middle + root), "key.pem");
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->chain.size(), 2U);
  EXPECT_THAT(loaded->warnings, IsEmpty());

  loaded = load_key_pair(chain.with(leaf + root + middle), "key.pem");
  ASSERT_TRUE(loaded);
  ASSERT_EQ(loaded->chain.size(), 2U);
  EXPECT_EQ(X509_cmp(loaded->chain[0].get(), chain.middle.certificate.get()), 0);
  EXPECT_THAT(loaded->warnings, ElementsAre(HasSubstr("not in order")));
}

TEST(TlsKeyPair, WarnsOfWhatIsMissingOrStrange) {
  const Chain chain;
  auto loaded = load_key_pair(chain.with(chain.leaf.certificate_pem), "key.pem");
  ASSERT_TRUE(loaded);
  EXPECT_THAT(loaded->warnings, ElementsAre(HasSubstr("cert.pem: no intermediate certificate")));

  loaded = load_key_pair(chain.with(chain.leaf.certificate_pem + chain.middle.certificate_pem +
                                    chain.stranger.certificate_pem),
                         "key.pem");
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->chain.size(), 1U);
  EXPECT_THAT(loaded->warnings, ElementsAre(HasSubstr("not sent: CN = stranger")));
}

TEST(TlsKeyPair, ExpiresWithTheFirstOfItsChain) {
  const Chain chain;
  const auto loaded = load_key_pair(
      chain.with(chain.leaf.certificate_pem + chain.middle.certificate_pem), "key.pem");
  ASSERT_TRUE(loaded);
  const auto left = loaded->not_after - std::chrono::system_clock::now();
  EXPECT_NEAR(static_cast<double>(left / std::chrono::hours(1)), 480, 1);
}

TEST(TlsKeyPair, TakesNamesAndAddresses) {
  const MadeCertificate made = make_certificate(
      {.names = {"DNS:a.example", "DNS:*.b.example", "IP:10.1.2.3", "IP:fe80::1", "email:x@y"}});
  const auto loaded = load_key_pair(key_pair(made), "key.pem");
  ASSERT_TRUE(loaded);
  EXPECT_THAT(loaded->names, ElementsAre("a.example", "*.b.example", "10.1.2.3", "fe80::1"));
}

}  // namespace
}  // namespace saola::proxy::testing
