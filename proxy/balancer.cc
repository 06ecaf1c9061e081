#include "proxy/balancer.h"

namespace saola::proxy {

std::size_t pick_worker(std::span<const WorkerLoad* const> loads, std::size_t start) {
  std::size_t best = kNone;
  std::uint32_t best_free = 0;
  std::size_t ahead = kNone;
  std::uint32_t least_ahead = 0;
  std::size_t stalled = kNone;
  std::uint32_t stalled_free = 0;
  for (std::size_t i = 0; i < loads.size(); ++i) {
    const std::size_t index = (start + i) % loads.size();
    const WorkerLoad& load = *loads[index];
    if (load.has_free_slot()) {
      const std::uint32_t free = load.slots - load.outstanding;
      if (free > best_free) {
        best = index;
        best_free = free;
      }
    } else if (load.may_prefetch()) {
      const std::uint32_t over = load.outstanding - load.slots;
      if (ahead == kNone || over < least_ahead) {
        ahead = index;
        least_ahead = over;
      }
    } else if (load.accepts && load.stalled && load.outstanding < load.slots) {
      const std::uint32_t free = load.slots - load.outstanding;
      if (free > stalled_free) {
        stalled = index;
        stalled_free = free;
      }
    }
  }
  if (best != kNone) return best;
  if (ahead != kNone) return ahead;
  // Everyone with room has stalled (a loop that is busy): wait with the one that has most room;
  // what is not claimed can still be taken back.
  return stalled;
}

}  // namespace saola::proxy
