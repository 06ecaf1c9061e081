#include "proxy/tls_ticket_keys.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#include <algorithm>
#include <cstring>

#include "common/core/c_ptr.h"
#include "common/core/check.h"

namespace saola::proxy {
namespace {

// Whoever steals a key reads the tickets of its time (TLS 1.2: and their sessions): never over a
// day.
constexpr std::chrono::hours kLongestInterval{24};
constexpr std::chrono::minutes kShortestInterval{1};
constexpr std::size_t kIvBytes = 16;

}  // namespace

// A key seals for one interval and opens for two more.
TicketKeys::TicketKeys(std::chrono::milliseconds ticket_lifetime, Time now)
    : interval_(std::clamp<std::chrono::steady_clock::duration>(
          ticket_lifetime / 2, kShortestInterval, kLongestInterval)) {
  keys_.reserve(kKeys + 1);
  add_key(now);
}

TicketKeys::~TicketKeys() { OPENSSL_cleanse(keys_.data(), keys_.capacity() * sizeof(Key)); }

bool TicketKeys::rotate(Time now) {
  if (now - newest_made_ < interval_) return false;
  // After a long sleep the older keys are past their time, not only the newest.
  const auto missed = static_cast<std::size_t>((now - newest_made_) / interval_) - 1;
  const std::size_t kept = keys_.size() - std::min(keys_.size(), missed);
  OPENSSL_cleanse(keys_.data() + kept, (keys_.size() - kept) * sizeof(Key));
  keys_.resize(kept);
  add_key(now);
  return true;
}

void TicketKeys::add_key(Time now) {
  keys_.insert(keys_.begin(), Key{});
  Key& key = keys_.front();
  SAOLA_CHECK(RAND_bytes(key.name.data(), static_cast<int>(key.name.size())) == 1);
  SAOLA_CHECK(RAND_priv_bytes(key.cipher_key.data(), static_cast<int>(key.cipher_key.size())) == 1);
  SAOLA_CHECK(RAND_priv_bytes(key.mac_key.data(), static_cast<int>(key.mac_key.size())) == 1);
  newest_made_ = now;
  if (keys_.size() > kKeys) {
    OPENSSL_cleanse(&keys_.back(), sizeof(Key));
    keys_.pop_back();
  }
}

bool TicketKeys::start(const Key& key, const unsigned char* iv, bool seals, EVP_CIPHER_CTX* cipher,
                       EVP_MAC_CTX* mac) {
  char digest[] = "SHA256";
  OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
      OSSL_PARAM_construct_end(),
  };
  return EVP_MAC_init(mac, key.mac_key.data(), key.mac_key.size(), parameters) == 1 &&
         EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), nullptr, key.cipher_key.data(), iv,
                           seals ? 1 : 0) == 1;
}

int TicketKeys::seal(unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher,
                     EVP_MAC_CTX* mac) const {
  const Key& key = keys_.front();
  if (RAND_bytes(iv, static_cast<int>(kIvBytes)) != 1) return -1;
  std::copy(key.name.begin(), key.name.end(), name);
  return start(key, iv, true, cipher, mac) ? 1 : -1;
}

int TicketKeys::open(const unsigned char* name, const unsigned char* iv, EVP_CIPHER_CTX* cipher,
                     EVP_MAC_CTX* mac) const {
  const auto found = std::find_if(keys_.begin(), keys_.end(), [name](const Key& key) {
    return std::memcmp(key.name.data(), name, key.name.size()) == 0;
  });
  if (found == keys_.end()) return 0;
  if (!start(*found, iv, false, cipher, mac)) return -1;
  return found == keys_.begin() ? 1 : 2;
}

}  // namespace saola::proxy
