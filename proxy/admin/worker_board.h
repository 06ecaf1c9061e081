// WorkerBoard: the workers as the scoreboard shows them, with what /proc says of each.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/core/clock.h"
#include "common/ipc/scoreboard.h"
#include "proxy/admin/families.h"

namespace saola::proxy {

struct WorkerView {
  std::string app;  // "?": not one of those that the board knows
  std::uint32_t id = 0;
  pid_t pid = 0;
  std::uint32_t generation = 0;
  ipc::WorkerPhase phase = ipc::WorkerPhase::kEmpty;
  std::uint64_t started = 0;   // requests
  std::uint64_t finished = 0;  // requests
  std::uint64_t heartbeat_ns = 0;
  std::uint64_t loop_turn_ns = 0;
  std::uint64_t started_ns = 0;  // the process; Unix time
  std::uint64_t gc_ns = 0;
  std::uint64_t gc_collections = 0;
  std::uint64_t slots = 0;
};

class WorkerBoard {
 public:
  // PSS is sampled at most so often: reading it takes time in proportion to a worker's memory.
  static constexpr std::chrono::seconds kMemoryInterval{10};

  WorkerBoard(ipc::Scoreboard board, const std::vector<std::string>& apps);

  // Those that live. Workers write these values and may be wrong about anything.
  std::vector<WorkerView> workers();
  // Everything about workers and their processes. `now`: CLOCK_MONOTONIC.
  void add_to(Families& families, Clock::time_point now);

 private:
  struct Memory {
    Clock::time_point sampled;
    std::optional<std::uint64_t> bytes;
  };
  void add_worker(Families& families, const WorkerView& worker, Clock::time_point now);

  ipc::Scoreboard board_;
  std::map<std::uint64_t, std::string> apps_;  // by app_hash()
  std::map<std::uint32_t, Memory> memory_;     // by worker id
};

// "booting", "ready", "draining"
const char* to_string(ipc::WorkerPhase phase);

}  // namespace saola::proxy
