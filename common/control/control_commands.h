// What can be asked of a running supervisor, by signals and through the control socket
// (control_socket.h). Supervision carries it out. Everything happens in the loop's thread.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "common/core/clock.h"
#include "common/core/result.h"

namespace saola::control {

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

class ControlCommands {
 public:
  // Called once, maybe before the command returns: what to show, or why it failed (may have several
  // lines: a traceback).
  using Done = std::function<void(const Result<std::string>& outcome)>;

  virtual ~ControlCommands() = default;
  virtual Status status() const = 0;
  // `rolling`: one worker at a time instead of a whole generation beside the old one.
  virtual void reload(bool rolling, Done done) = 0;
  // `app` may be empty if there is one only. `workers`: absolute.
  virtual Result<std::string> scale(const std::string& app, int workers) = 0;
  // Graceful; `at_once`: within moments. `done` hears that it began; the socket closes at the end.
  virtual void stop(bool at_once) = 0;
  // Readiness fails and connections are closed after their next answer; serving goes on until
  // stop().
  virtual Result<std::string> drain() = 0;
  virtual Result<std::string> reopen_logs() = 0;
  // Python stacks to the error log; of all workers if none is named.
  virtual void dump_stacks(std::optional<std::uint32_t> worker_id, Done done) = 0;
  // Replaces one worker without a gap.
  virtual void recycle(std::uint32_t worker_id, Done done) = 0;
  // Puts the binary that is on disk now in the place of this one (USR2).
  virtual void upgrade(Done done) = 0;
};

}  // namespace saola::control
