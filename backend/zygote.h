// Zygote: the process that imports the application once and from which workers are forked
// (`app.preload`). It has one thread and no event loop of its own; it runs nothing of the
// application after the import but what threads that the import started do.
//
//   set up      ZygoteInit: the configuration, the error log
//   import      Python, the application; the garbage collector's objects are frozen, so that
//               collections in workers do not copy the shared pages
//   Ready       then a worker for each ZygoteFork
//
// A fork is two: the one in the middle ends at once, so the worker becomes the supervisor's child
// (it is a subreaper), which waits for it, and with which it dies. The worker knows that it has
// come so far by a byte in a pipe, which the zygote writes when it has reaped the one in the
// middle, and says Born.
//
// Exit codes: 0 told to stop, or the supervisor has gone; 1 it could not be set up; 3 the
// application could not be imported. It ends without Python's finalization: atexit handlers of the
// application are the workers'.
#pragma once

#include <sys/types.h>
#include <unistd.h>

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "backend/preloaded_app.h"
#include "common/config/config.h"
#include "common/core/log.h"
#include "common/core/log_fan.h"
#include "common/core/result.h"
#include "common/core/unique_fd.h"
#include "common/ipc/control_channel.h"
#include "common/ipc/control_message.h"

namespace saola::backend {

class Zygote {
 public:
  // `title`: the memory of argv[0], where a worker's title is written over the zygote's.
  Zygote(UniqueFd control, std::span<char> title);
  // Returns in the zygote, and in each worker with the exit code of its whole life; is_worker()
  // says in which.
  int run();
  bool is_worker() const { return is_worker_; }

 private:
  Result<ipc::ControlChannel::Received> wait_for_message();
  Result<void> set_up();
  Result<void> import_app();
  void warn_of_threads();
  Result<void> tell_supervisor(const ipc::ControlMessage& message);
  int boot_failed(const std::string& reason, bool application);

  int serve();
  // The exit code in a forked worker, at its end; nothing in the zygote.
  std::optional<int> fork_worker(const ipc::ZygoteFork& order, UniqueFd control);
  int become_worker(const ipc::ZygoteFork& order, UniqueFd control, UniqueFd go);

  ipc::ControlChannel control_;
  const std::span<char> title_;
  const pid_t supervisor_;
  UniqueFd metrics_file_;  // until the import
  LogFan sink_;
  DirectSink forked_sink_{STDERR_FILENO};  // of a forked worker until it has its own
  std::optional<Logger> log_;
  std::string app_name_;
  config::Config config_;
  const config::App* app_ = nullptr;
  std::unique_ptr<PreloadedApp> preloaded_;
  bool is_worker_ = false;
};

}  // namespace saola::backend
