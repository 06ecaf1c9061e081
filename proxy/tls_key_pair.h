// A certificate chain and its key, read from PEM text and checked.
#pragma once

#include <openssl/evp.h>
#include <openssl/x509.h>

#include <chrono>
#include <string>
#include <vector>

#include "common/core/c_ptr.h"
#include "common/core/result.h"
#include "common/ipc/control_message.h"

namespace saola::proxy {

using X509Ptr = CPtr<X509, X509_free>;
using KeyPtr = CPtr<EVP_PKEY, EVP_PKEY_free>;

struct LoadedPair {
  X509Ptr leaf;
  std::vector<X509Ptr> chain;  // issuer by issuer from the leaf on
  KeyPtr key;
  int key_type = 0;                // EVP_PKEY_RSA, EVP_PKEY_EC, ...
  std::vector<std::string> names;  // from subjectAltName; the common name only without one
  std::chrono::system_clock::time_point not_before;  // the latest in the chain
  std::chrono::system_clock::time_point not_after;   // the earliest in the chain
  std::vector<std::string> warnings;
};

// `key_path` is for messages. Every error names the file and what to do about it.
Result<LoadedPair> load_key_pair(const ipc::KeyPair& pair, const std::string& key_path);

}  // namespace saola::proxy
