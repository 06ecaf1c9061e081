// Which requests a sampled access log has: each by chance, so that nothing in the traffic's rhythm,
// and nothing that a client sends, decides.
#pragma once

#include <cstdint>
#include <random>

namespace saola::proxy {

class AccessSample {
 public:
  static constexpr std::uint32_t kAll = 1'000'000;

  // Parts per million.
  void set_share(std::uint32_t share) { share_ = share; }

  bool takes_next() {
    if (share_ >= kAll) return true;
    // xorshift64: its quality is enough to count with.
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return (state_ >> 32) % kAll < share_;
  }

 private:
  static std::uint64_t seed() {
    std::random_device source;
    return (std::uint64_t{source()} << 32 | source()) | 1U;  // not zero
  }

  std::uint32_t share_ = kAll;
  std::uint64_t state_ = seed();
};

}  // namespace saola::proxy
