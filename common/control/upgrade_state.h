// UpgradeState: what one image of the supervisor leaves to the next when it executes another binary
// in its own process. Text in a memory file; descriptors by number, they live through exec. Pure:
// no I/O.
//
// Two readers. The *next* binary, of any version, reads the first part; its meaning changes only
// with kVersion. When the next one cannot get ready, the binary that wrote the state is executed
// again and reads the second part too, `service`, which nobody else looks at. What both binaries
// say to processes of the other is Drain and Stop, and what they hear is Drained.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/core/result.h"

namespace saola::control {

struct UpgradeState {
  static constexpr std::uint32_t kVersion = 1;

  struct Listener {
    std::string address;  // as configured
    int fd = -1;
    bool ipv6_only = true;
    std::string path;  // of a Unix socket; device and inode say whether the file is still ours
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
    int inherited = -1;  // fd:N
  };
  struct Lock {
    std::string path;
    int fd = -1;
  };
  // A process that serves while the next image starts, and is told to drain when that is ready.
  // Drain, Stop and Drained of its control channel mean the same to every version.
  struct Process {
    std::int32_t pid = 0;
    int control = -1;
    std::string name;  // for the log
    bool is_edge = false;
    bool ready = false;
  };

  struct Worker {
    std::int32_t pid = 0;
    std::uint32_t id = 0;
    std::uint32_t scoreboard_slot = 0;
    std::string app;
    std::string interface;
    std::uint32_t slots = 0;
  };
  // The generation that serves, so that whoever made it can go on with it.
  struct Service {
    std::uint32_t generation = 0;
    std::string config_path;
    int edge_start = -1;
    int worker_start = -1;
    int error_log = -1;
    int access_log = -1;  // -1: none
    int scoreboard = -1;
    std::map<std::string, std::uint32_t> wanted;  // workers, by app
    std::vector<Worker> workers;  // ready ones of this generation; each is a Process too
  };

  std::string binary_path;  // where the next upgrade looks
  int binary = -1;          // what wrote this
  bool daemon = false;      // the server is in the background
  std::uint32_t last_generation = 0;
  std::uint32_t last_worker_id = 0;
  std::vector<Listener> listeners;
  std::vector<Lock> locks;
  std::vector<Process> processes;
  // Stores of metrics (shared_memory.h): what was counted goes on. -1, or not there: none.
  int metrics = -1;
  std::map<std::string, int> app_metrics;  // by app
  Service service;
  // Not empty: the upgrade failed, and the writer of the state runs again.
  std::string failure;
  // Every descriptor that lives through exec, those of `service` among them; to_json() finds them.
  std::vector<int> descriptors;
};

std::string to_json(const UpgradeState& state);
// The same text with `failure` in it; of `service` nothing is understood and nothing changes.
Result<std::string> with_failure(std::string_view text, const std::string& failure);
// An error for text of another version, or that makes no sense.
Result<UpgradeState> parse_upgrade_state(std::string_view text);

}  // namespace saola::control
