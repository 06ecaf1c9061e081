// Makes keys and certificates for tests, as PEM text.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "common/ipc/control_message.h"
#include "proxy/tls_key_pair.h"

namespace saola::proxy::testing {

enum class KeyKind { kEcdsa, kRsa, kEd25519 };

struct CertificateSpec {
  std::string common_name = "test";
  std::vector<std::string> names = {};  // subjectAltName: "DNS:a.example", "IP:10.0.0.1"
  KeyKind key = KeyKind::kEcdsa;
  int valid_from_days = -1;  // from now
  int valid_to_days = 30;
  int rsa_bits = 2048;
};

struct MadeCertificate {
  X509Ptr certificate;
  std::shared_ptr<EVP_PKEY> key;
  std::string certificate_pem;
  std::string key_pem;
};

// Signed by `issuer`, or by itself without one. RSA keys are made once for each size.
MadeCertificate make_certificate(const CertificateSpec& spec,
                                 const MadeCertificate* issuer = nullptr);

std::string encrypted_key_pem(const MadeCertificate& made, const std::string& password);

// With the path "cert<N>.pem" where N counts up from `number`.
ipc::KeyPair key_pair(const MadeCertificate& made, int number = 1);

}  // namespace saola::proxy::testing
