// ClaimTable: who may run a request. One word per slot in a sealed memory file that the edge and
// one worker share.
//
//   edge: offer(slot, stream)         the request was sent
//   worker: claim(slot, stream)       "I start it now"    } exactly one of the two succeeds
//   edge: take_back(slot, stream)     "it goes elsewhere" }
//
// The edge treats every value as hostile: anything but its own offer counts as claimed, so a worker
// that scribbles here can only harm requests that it was given. A worker that finds words here
// which the edge cannot have written serves no more. A worker's kill -9 leaves the truth behind.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "common/core/result.h"
#include "common/core/unique_fd.h"
#include "common/ipc/frame.h"

namespace saola::ipc {

class ClaimTable {
 public:
  static constexpr std::size_t kMaxSlots = 65536;

  // A new sealed memory file for `slots` requests (memfd, F_SEAL_GROW | F_SEAL_SHRINK |
  // F_SEAL_SEAL).
  static Result<UniqueFd> create_file(std::size_t slots);
  // Maps a file from create_file(); the slot count is its size.
  static Result<ClaimTable> map(const UniqueFd& file);

  ClaimTable(ClaimTable&& other) noexcept;
  ClaimTable& operator=(ClaimTable&& other) noexcept;
  ~ClaimTable();

  std::size_t slots() const { return slots_; }

  void offer(std::size_t slot, std::uint32_t stream) {
    word(slot).store(offered(stream), std::memory_order_release);
  }
  bool claim(std::size_t slot, std::uint32_t stream) {
    std::uint64_t expected = offered(stream);
    return word(slot).compare_exchange_strong(expected, std::uint64_t{stream} << 8 | kClaimed,
                                              std::memory_order_acq_rel);
  }
  bool take_back(std::size_t slot, std::uint32_t stream) {
    std::uint64_t expected = offered(stream);
    return word(slot).compare_exchange_strong(expected, std::uint64_t{stream} << 8 | kTaken,
                                              std::memory_order_acq_rel);
  }
  // True while nobody has claimed or taken it.
  bool is_offered(std::size_t slot, std::uint32_t stream) const {
    return words_[slot].load(std::memory_order_acquire) == offered(stream);
  }

  // For the worker, of a request that it could not claim. False: the edge has not written what is
  // there, so something else has.
  bool is_the_edges(std::size_t slot) const {
    const std::uint64_t value = words_[slot].load(std::memory_order_acquire);
    const std::uint64_t state = value & 0xff, stream = value >> 8;
    return (state == kOffered || state == kTaken) && stream >> 32 == 0 &&
           slot_of(static_cast<std::uint32_t>(stream)) == slot;
  }

 private:
  static constexpr std::uint64_t kOffered = 1, kClaimed = 2, kTaken = 3;
  static std::uint64_t offered(std::uint32_t stream) {
    return std::uint64_t{stream} << 8 | kOffered;
  }
  ClaimTable(std::atomic<std::uint64_t>* words, std::size_t slots) : words_(words), slots_(slots) {}
  std::atomic<std::uint64_t>& word(std::size_t slot) { return words_[slot]; }

  std::atomic<std::uint64_t>* words_;
  std::size_t slots_;
};

}  // namespace saola::ipc
