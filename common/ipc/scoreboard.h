// Scoreboard: what each worker does now, in a sealed memory file. The worker writes its slot,
// everybody reads; slots outlive their worker, so the last state of a killed one can be read. One
// writer per word and time: the supervisor fills a slot before it starts the worker and marks it
// kExited after it has reaped it; in between only the worker writes.
//
// Each slot is a page of its own, and a worker maps that page alone: an application that writes
// where it should not reaches no other worker's record, and not the edge's. Readers treat every
// value as hostile.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "common/core/result.h"
#include "common/core/unique_fd.h"

namespace saola::ipc {

enum class WorkerPhase : std::uint32_t { kEmpty = 0, kBooting, kReady, kDraining, kExited };

struct alignas(64) WorkerSlot {
  std::atomic<std::uint32_t> worker_id;
  std::atomic<std::uint32_t> pid;
  std::atomic<std::uint32_t> generation;
  std::atomic<std::uint32_t> phase;         // WorkerPhase
  std::atomic<std::uint64_t> heartbeat_ns;  // CLOCK_MONOTONIC, by the worker's helper thread
  std::atomic<std::uint64_t>
      loop_turn_ns;  // CLOCK_MONOTONIC, last time the app thread or loop came round
  std::atomic<std::uint64_t> requests_started;
  std::atomic<std::uint64_t> requests_finished;
  std::atomic<std::uint64_t> app;         // app_hash() of its name
  std::atomic<std::uint64_t> started_ns;  // Unix time
  std::atomic<std::uint64_t> gc_ns;       // Python's garbage collector, together
  std::atomic<std::uint64_t> gc_collections;
  std::atomic<std::uint64_t> slots;  // requests that it runs at once
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

// FNV-1a: a name in the space of a number.
constexpr std::uint64_t app_hash(std::string_view name) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return hash;
}

// Of the server itself, in a page that no worker maps.
struct ServerRecord {
  std::atomic<std::uint64_t>
      edge_heartbeat_ns;  // CLOCK_MONOTONIC, by the edge's loop, once a second
  // By the supervisor: no worker has had a slot from this one on. A look there would cost a page.
  std::atomic<std::uint32_t> slots_used;
};

class Scoreboard {
 public:
  static constexpr std::size_t kSlots = 1024;  // workers alive at once, all generations

  static Result<UniqueFd> create_file();
  // Everything: for the supervisor and the admin process.
  static Result<Scoreboard> map(const UniqueFd& file);
  // One worker's page, or the server's: nothing else may be asked for.
  static Result<Scoreboard> map_slot(const UniqueFd& file, std::size_t index);
  static Result<Scoreboard> map_server(const UniqueFd& file);

  Scoreboard(Scoreboard&& other) noexcept;
  Scoreboard& operator=(Scoreboard&& other) noexcept;
  ~Scoreboard();

  WorkerSlot& slot(std::size_t index);
  ServerRecord& server();

 private:
  Scoreboard(char* memory, std::size_t first, std::size_t pages)
      : memory_(memory), first_(first), pages_(pages) {}
  static Result<Scoreboard> map_pages(const UniqueFd& file, std::size_t first, std::size_t pages);
  char* page(std::size_t index);

  char* memory_;  // of page first_
  std::size_t first_;
  std::size_t pages_;
};

}  // namespace saola::ipc
