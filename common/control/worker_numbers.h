// WorkerNumbers: ids and scoreboard slots for the workers of all generations.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>

#include "common/ipc/scoreboard.h"

namespace saola::control {

class WorkerNumbers {
 public:
  // Never given twice in the life of a supervisor.
  std::uint32_t next_id() { return ++last_id_; }

  // Nothing: too many workers at once.
  std::optional<std::uint32_t> take_slot() {
    const auto free = std::find(taken_.begin(), taken_.end(), false);
    if (free == taken_.end()) return std::nullopt;
    *free = true;
    return static_cast<std::uint32_t>(free - taken_.begin());
  }
  // This one; false: it is taken, or there is no such slot.
  bool take_slot(std::uint32_t slot) {
    if (slot >= taken_.size() || taken_[slot]) return false;
    return taken_[slot] = true;
  }
  void give_back_slot(std::uint32_t slot) { taken_.at(slot) = false; }

  // For a supervisor that takes over from another: ids up to this one have been used.
  void skip_to(std::uint32_t id) { last_id_ = std::max(last_id_, id); }
  std::uint32_t last_id() const { return last_id_; }

 private:
  std::uint32_t last_id_ = 0;
  std::array<bool, ipc::Scoreboard::kSlots> taken_{};
};

}  // namespace saola::control
