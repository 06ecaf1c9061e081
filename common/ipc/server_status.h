// What a running supervisor says of itself: `saola status`, and the "status" command of the control
// socket (control_protocol.h). Plain values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace saola::ipc {

struct WorkerStatus {
  std::uint32_t id = 0;
  std::string app;
  std::uint32_t generation = 0;
  std::int64_t pid = 0;
  std::string state;                   // to_string(WorkerState)
  double age_seconds = 0;              // since its start
  std::uint64_t requests_started = 0;  // claimed
  std::uint64_t requests_finished = 0;
  std::uint64_t memory_bytes = 0;  // RSS; 0: not readable
  std::string leaving_because;     // "max_requests", "reload", ...; empty: it stays
};

struct AppStatus {
  std::string name;
  std::string target;
  std::string interface;  // "wsgi", "asgi", or empty: not known yet
  int workers = 0;        // wanted now
  int workers_min = 0;    // configured; equal to max unless the number follows the load
  int workers_max = 0;
  std::uint64_t crashes = 0;
  std::vector<std::pair<std::string, std::uint64_t>> recycled;  // by reason
  bool crash_looping = false;  // its workers keep dying before they are ready
};

struct ReloadStatus {
  double seconds_ago = 0;
  bool succeeded = false;
  std::string message;
};

struct Status {
  std::string version;
  std::int64_t pid = 0;
  std::string state;  // "starting", "serving", "reloading", "draining", "stopping"
  bool ready = false;
  double uptime_seconds = 0;
  std::uint32_t generation = 0;
  std::string config_path;  // empty: drop-in mode
  std::vector<std::string> addresses;
  std::int64_t edge_pid = 0;  // 0: none now
  std::uint64_t edge_restarts = 0;
  std::vector<AppStatus> apps;
  std::vector<WorkerStatus> workers;
  std::optional<ReloadStatus> last_reload;
};

}  // namespace saola::ipc
