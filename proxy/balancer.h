// Which worker gets the next request. Pure: looks at load figures, touches nothing.
//
// Requests wait in the edge (a worker's own queue could not be left when another worker is idle).
// A worker with a free slot is taken at once, the one with the most of them. When none is free, a
// few requests are sent ahead to workers that answer quickly, so that these need not wait for the
// edge; they can be taken back as long as they are not claimed (Upstream::check_progress).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace saola::proxy {

struct WorkerLoad {
  std::uint32_t slots = 1;        // requests it runs at once
  std::uint32_t outstanding = 0;  // sent and not ended
  std::uint32_t prefetch = 0;     // how many more may be sent ahead while it is lively
  bool accepts = false;           // ready and not draining
  bool stalled = false;           // has unclaimed requests and showed no progress for a while
  bool lively = false;            // ended a request just now, and that took it no longer

  bool has_free_slot() const { return accepts && !stalled && outstanding < slots; }
  bool may_prefetch() const {
    return accepts && !stalled && lively && outstanding < slots + prefetch;
  }
};

// What came out: an index into `loads`, or kNone.
inline constexpr std::size_t kNone = static_cast<std::size_t>(-1);

// `loads` are pointers, so that the caller's own records can be looked at in place.
// `start` makes equal workers take turns.
std::size_t pick_worker(std::span<const WorkerLoad* const> loads, std::size_t start);

}  // namespace saola::proxy
