#include "proxy/tls_key_pair.h"

#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <ctime>

#include "common/core/check.h"
#include "proxy/tls_error.h"

namespace saola::proxy {
namespace {

using BioPtr = CPtr<BIO, BIO_free>;
using NamesPtr = CPtr<GENERAL_NAMES, GENERAL_NAMES_free>;

BioPtr text_bio(const std::string& text) {
  BioPtr bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  SAOLA_CHECK(bio != nullptr);
  return bio;
}

// DER files and files of the wrong kind are the usual mistakes.
std::string not_pem(const std::string& path, const std::string& text, const char* wanted) {
  std::string message = path + ": no PEM " + wanted + " in it";
  if (text.empty()) {
    message += " (the file is empty)";
  } else if (text[0] == '\x30') {
    message += " (it looks like DER: convert it with openssl)";
  } else if (text.find("-----BEGIN ") == std::string::npos) {
    message += " (no -----BEGIN line)";
  }
  return message;
}

Result<std::vector<X509Ptr>> read_certificates(const ipc::KeyPair& pair) {
  std::vector<X509Ptr> certificates;
  const BioPtr bio = text_bio(pair.certificate_pem);
  ERR_clear_error();
  while (X509* certificate = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)) {
    certificates.emplace_back(certificate);
  }
  const bool only_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  const TlsError error = take_tls_error();
  if (certificates.empty() && only_end) {
    return fail(not_pem(pair.certificate_path, pair.certificate_pem, "certificate"));
  }
  if (!only_end) {
    return fail(pair.certificate_path + ": certificate " + std::to_string(certificates.size() + 1) +
                " in it is damaged: " + error.text);
  }
  return certificates;
}

struct Password {
  const std::string& text;
  bool asked = false;
};

int give_password(char* space, int size, int, void* argument) {
  auto* password = static_cast<Password*>(argument);
  password->asked = true;
  const int length = static_cast<int>(password->text.size());
  if (length == 0 || length > size) return -1;
  std::copy_n(password->text.data(), password->text.size(), space);
  return length;
}

Result<KeyPtr> read_key(const ipc::KeyPair& pair, const std::string& path) {
  const BioPtr bio = text_bio(pair.key_pem);
  Password password{pair.key_password};
  ERR_clear_error();
  KeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, give_password, &password));
  if (key != nullptr) {
    ERR_clear_error();
    return key;
  }
  const TlsError error = take_tls_error();
  if (password.asked && pair.key_password.empty()) {
    return fail(path + ": the key is encrypted: set key_password_file");
  }
  if (password.asked) return fail(path + ": the key's password is wrong");
  if (pair.key_pem.find("PRIVATE KEY-----") == std::string::npos) {
    return fail(not_pem(path, pair.key_pem, "private key"));
  }
  return fail(path + ": the private key is damaged: " + error.text);
}

std::string subject_of(const X509* certificate) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  SAOLA_CHECK(bio != nullptr);
  X509_NAME_print_ex(bio.get(), X509_get_subject_name(certificate), 0,
                     XN_FLAG_ONELINE & ~ASN1_STRFLGS_ESC_MSB);
  char* text = nullptr;
  const long length = BIO_get_mem_data(bio.get(), &text);
  return {text, static_cast<std::size_t>(length)};
}

bool is_self_issued(X509* certificate) {
  return X509_NAME_cmp(X509_get_subject_name(certificate), X509_get_issuer_name(certificate)) == 0;
}

// Puts `rest` in order behind the leaf (RFC 5246 section 7.4.2 demands it of TLS 1.2 servers).
void order_chain(LoadedPair& loaded, std::vector<X509Ptr> rest, const std::string& path) {
  bool moved = false;
  X509* subject = loaded.leaf.get();
  while (!rest.empty() && !is_self_issued(subject)) {
    const auto issuer = std::find_if(rest.begin(), rest.end(), [subject](const X509Ptr& candidate) {
      return X509_check_issued(candidate.get(), subject) == X509_V_OK;
    });
    if (issuer == rest.end()) break;
    moved |= issuer != rest.begin();
    subject = issuer->get();
    loaded.chain.push_back(std::move(*issuer));
    rest.erase(issuer);
  }
  if (moved) {
    loaded.warnings.push_back(path + ": the chain is not in order; it is sent in order");
  }
  for (const X509Ptr& stranger : rest) {
    loaded.warnings.push_back(
        path + ": not part of the chain and not sent: " + subject_of(stranger.get()));
  }
  if (loaded.chain.empty() && !is_self_issued(loaded.leaf.get())) {
    loaded.warnings.push_back(path +
                              ": no intermediate certificate in it: clients that do not know the "
                              "issuer itself will not trust it");
  }
}

std::chrono::system_clock::time_point time_of(const ASN1_TIME* time) {
  std::tm calendar{};
  if (ASN1_TIME_to_tm(time, &calendar) != 1) return {};
  return std::chrono::system_clock::from_time_t(::timegm(&calendar));
}

std::string text_of(const ASN1_STRING* text) {
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
          static_cast<std::size_t>(ASN1_STRING_length(text))};
}

std::string address_of(const ASN1_OCTET_STRING* bytes) {
  const int length = ASN1_STRING_length(bytes);
  if (length != 4 && length != 16) return {};
  std::array<char, INET6_ADDRSTRLEN> shown{};
  ::inet_ntop(length == 4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(bytes), shown.data(),
              shown.size());
  return shown.data();
}

// RFC 9525 section 6.3; the common name only where there is no alternative name at all.
std::vector<std::string> names_of(const X509* certificate) {
  std::vector<std::string> names;
  const NamesPtr alternatives(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  if (alternatives != nullptr) {
    for (int i = 0; i < sk_GENERAL_NAME_num(alternatives.get()); ++i) {
      const GENERAL_NAME* name = sk_GENERAL_NAME_value(alternatives.get(), i);
      if (name->type == GEN_DNS) names.push_back(text_of(name->d.dNSName));
      if (name->type == GEN_IPADD) names.push_back(address_of(name->d.iPAddress));
    }
  } else {
    const X509_NAME* subject = X509_get_subject_name(certificate);
    const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    if (at >= 0) {
      names.push_back(text_of(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at))));
    }
  }
  // A NUL inside is an attack on readers of C strings, not a name.
  std::erase_if(names, [](const std::string& name) {
    return name.empty() || name.find('\0') != std::string::npos;
  });
  ERR_clear_error();
  return names;
}

}  // namespace

Result<LoadedPair> load_key_pair(const ipc::KeyPair& pair, const std::string& key_path) {
  auto certificates = read_certificates(pair);
  if (!certificates) return fail(certificates.error().message);
  auto key = read_key(pair, key_path);
  if (!key) return fail(key.error().message);

  LoadedPair loaded;
  loaded.key = std::move(*key);
  auto& all = *certificates;
  const auto leaf = std::find_if(all.begin(), all.end(), [&loaded](const X509Ptr& candidate) {
    return X509_check_private_key(candidate.get(), loaded.key.get()) == 1;
  });
  ERR_clear_error();
  if (leaf == all.end()) {
    return fail(key_path + ": the key does not belong to the certificate in " +
                pair.certificate_path);
  }
  if (leaf != all.begin()) {
    return fail(pair.certificate_path +
                ": the server's own certificate must come first, then its issuer");
  }
  loaded.leaf = std::move(all.front());
  all.erase(all.begin());
  order_chain(loaded, std::move(all), pair.certificate_path);
  ERR_clear_error();

  loaded.key_type = EVP_PKEY_get_base_id(loaded.key.get());
  loaded.names = names_of(loaded.leaf.get());
  loaded.not_before = time_of(X509_get0_notBefore(loaded.leaf.get()));
  loaded.not_after = time_of(X509_get0_notAfter(loaded.leaf.get()));
  for (const X509Ptr& issuer : loaded.chain) {
    loaded.not_before = std::max(loaded.not_before, time_of(X509_get0_notBefore(issuer.get())));
    loaded.not_after = std::min(loaded.not_after, time_of(X509_get0_notAfter(issuer.get())));
  }
  if (loaded.names.empty()) {
    loaded.warnings.push_back(pair.certificate_path + ": it names no host");
  }
  return loaded;
}

}  // namespace saola::proxy
