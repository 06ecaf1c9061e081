#include "certificate_maker.h"

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include <map>

#include "common/core/check.h"

namespace saola::proxy::testing {
namespace {

using BioPtr = CPtr<BIO, BIO_free>;

std::shared_ptr<EVP_PKEY> make_key(const CertificateSpec& spec) {
  static std::map<int, std::shared_ptr<EVP_PKEY>> rsa_keys;
  const auto share = [](EVP_PKEY* key) {
    SAOLA_CHECK(key != nullptr);
    return std::shared_ptr<EVP_PKEY>(key, EVP_PKEY_free);
  };
  switch (spec.key) {
    case KeyKind::kEcdsa:
      return share(EVP_EC_gen("P-256"));
    case KeyKind::kEd25519:
      return share(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
    case KeyKind::kRsa:
      break;
  }
  auto& key = rsa_keys[spec.rsa_bits];
  if (key == nullptr) key = share(EVP_RSA_gen(static_cast<unsigned>(spec.rsa_bits)));
  return key;
}

std::string text_of(const BioPtr& bio) {
  char* text = nullptr;
  const long length = BIO_get_mem_data(bio.get(), &text);
  return {text, static_cast<std::size_t>(length)};
}

void add_extension(X509* certificate, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
  SAOLA_CHECK(extension != nullptr);
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

std::string joined(const std::vector<std::string>& parts) {
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : ",") + part;
  return text;
}

}  // namespace

MadeCertificate make_certificate(const CertificateSpec& spec, const MadeCertificate* issuer) {
  static long serial = 1;
  MadeCertificate made;
  made.key = make_key(spec);
  made.certificate.reset(X509_new());
  X509* certificate = made.certificate.get();
  X509_set_version(certificate, X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial++);
  constexpr long kDay = 24L * 3600;
  X509_gmtime_adj(X509_getm_notBefore(certificate), spec.valid_from_days * kDay);
  X509_gmtime_adj(X509_getm_notAfter(certificate), spec.valid_to_days * kDay);
  X509_set_pubkey(certificate, made.key.get());
  X509_NAME* name = X509_get_subject_name(certificate);
  if (!spec.common_name.empty()) {
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                               reinterpret_cast<const unsigned char*>(spec.common_name.c_str()), -1,
                               -1, 0);
  }
  X509_set_issuer_name(certificate,
                       issuer != nullptr ? X509_get_subject_name(issuer->certificate.get()) : name);
  if (!spec.names.empty()) add_extension(certificate, NID_subject_alt_name, joined(spec.names));
  EVP_PKEY* signer = issuer != nullptr ? issuer->key.get() : made.key.get();
  const EVP_MD* digest = EVP_PKEY_get_base_id(signer) == EVP_PKEY_ED25519 ? nullptr : EVP_sha256();
  SAOLA_CHECK(X509_sign(certificate, signer, digest) > 0);

  const BioPtr out(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(out.get(), certificate);
  made.certificate_pem = text_of(out);
  const BioPtr key_out(BIO_new(BIO_s_mem()));
  PEM_write_bio_PrivateKey(key_out.get(), made.key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  made.key_pem = text_of(key_out);
  return made;
}

std::string encrypted_key_pem(const MadeCertificate& made, const std::string& password) {
  const BioPtr out(BIO_new(BIO_s_mem()));
  SAOLA_CHECK(PEM_write_bio_PKCS8PrivateKey(out.get(), made.key.get(), EVP_aes_128_cbc(),
                                            password.data(), static_cast<int>(password.size()),
                                            nullptr, nullptr) == 1);
  return text_of(out);
}

ipc::KeyPair key_pair(const MadeCertificate& made, int number) {
  return {made.certificate_pem, made.key_pem, "", "cert" + std::to_string(number) + ".pem"};
}

}  // namespace saola::proxy::testing
