// What can be asked of a running supervisor, by signals and through the control socket
// (control_socket.h). Supervision carries it out. Everything happens in the loop's thread.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "common/core/result.h"
#include "common/ipc/control_message.h"
#include "common/ipc/server_status.h"

namespace saola::control {

using ipc::AppStatus;
using ipc::ReloadStatus;
using ipc::Status;
using ipc::WorkerStatus;

class ControlCommands {
 public:
  // Called once, maybe before the command returns: what to show, or why it failed (may have several
  // lines: a traceback).
  using Done = std::function<void(const Result<std::string>& outcome)>;

  virtual ~ControlCommands() = default;
  virtual Status status() const = 0;
  // What the edge does now (EdgeInspect, EdgeReport); an error if there is none, or it goes before
  // it answers. Like Done, called once and maybe before inspect() returns.
  using Report = std::function<void(const Result<ipc::EdgeReport>& report)>;
  virtual void inspect(Report done) = 0;
  // `rolling`: one worker at a time instead of a whole generation beside the old one.
  virtual void reload(bool rolling, Done done) = 0;
  // `app` may be empty if there is one only. `workers`: absolute.
  virtual Result<std::string> scale(const std::string& app, int workers) = 0;
  // Graceful; `at_once`: within moments. `done` hears that it began; the socket closes at the end.
  virtual void stop(bool at_once) = 0;
  // Readiness fails, and connections end after their next answer; serving goes on until stop().
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
