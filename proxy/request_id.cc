#include "proxy/request_id.h"

#include <sys/random.h>

#include <bit>

#include "common/core/check.h"

namespace saola::proxy {

bool is_valid_request_id(std::string_view id) {
  if (id.empty() || id.size() > 128) return false;
  for (const char c : id) {
    const bool fine = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      c == '.' || c == '_' || c == '-';
    if (!fine) return false;
  }
  return true;
}

RequestIdSource::RequestIdSource() {
  SAOLA_CHECK(::getrandom(state_, sizeof state_, 0) == sizeof state_);
  state_[0] |= 1;  // the generator must not start from all zeros
}

// xoroshiro128+ (Blackman and Vigna, 2018).
std::uint64_t RequestIdSource::next_word() {
  const std::uint64_t a = state_[0];
  std::uint64_t b = state_[1];
  const std::uint64_t result = a + b;
  b ^= a;
  state_[0] = std::rotl(a, 24) ^ b ^ (b << 16);
  state_[1] = std::rotl(b, 37);
  return result;
}

void RequestIdSource::next(std::string& out) {
  static constexpr char kDigits[] = "0123456789abcdef";
  out.resize(32);
  for (std::size_t half = 0; half < 2; ++half) {
    std::uint64_t word = next_word();
    for (std::size_t i = 0; i < 16; ++i, word >>= 4) out[half * 16 + i] = kDigits[word & 15];
  }
}

}  // namespace saola::proxy
