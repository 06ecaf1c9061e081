// TicketKeys: the keys that session tickets are sealed with (RFC 5077 section 4, RFC 8446 section
// 4.6.1). The newest seals; it and the two before it open. Keys live in memory only and are
// overwritten when dropped, so that a ticket is worthless after them.
#pragma once

#include <openssl/evp.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <span>
#include <vector>

namespace saola::proxy {

class TicketKeys {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // A ticket sealed at any moment can be opened for at least `ticket_lifetime`.
  TicketKeys(std::chrono::milliseconds ticket_lifetime, Time now);
  ~TicketKeys();
  TicketKeys(const TicketKeys&) = delete;
  TicketKeys& operator=(const TicketKeys&) = delete;

  // Makes a new key if the newest is old enough. True if it did.
  bool rotate(Time now);

  // The contract of SSL_CTX_set_tlsext_ticket_key_evp_cb(): 1 fine, 2 fine but to be renewed, 0 a
  // ticket of nobody's key, -1 error.
  int seal(unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac) const;
  int open(const unsigned char* name, const unsigned char* iv, EVP_CIPHER_CTX* cipher,
           EVP_MAC_CTX* mac) const;

 private:
  struct Key {
    std::array<unsigned char, 16> name;
    std::array<unsigned char, 32> cipher_key;
    std::array<unsigned char, 32> mac_key;
  };
  static constexpr std::size_t kKeys = 3;

  void add_key(Time now);
  static bool start(const Key& key, const unsigned char* iv, bool seals, EVP_CIPHER_CTX* cipher,
                    EVP_MAC_CTX* mac);

  std::chrono::steady_clock::duration interval_;
  Time newest_made_;
  std::vector<Key> keys_;  // newest first; never reallocated, so no copy of a key is left behind
};

}  // namespace saola::proxy
