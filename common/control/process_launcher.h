// ProcessLauncher: children as new images of the running binary. The only file that forks
// (binary_check.cc spawns).
//
// A child is forked and at once executes the descriptor of the binary that was opened at start, so
// it shares no canary and no address layout with the supervisor or its siblings, and a package
// upgrade meanwhile changes nothing. It runs in a process group of its own (Ctrl-C reaches the
// supervisor alone), dies with the supervisor (PR_SET_PDEATHSIG), has default signals with none
// blocked (SIGPIPE stays ignored: a log pipe that breaks must give an error, not end it), /dev/null
// as standard input, and gains no privileges.
//
// From the first child that leaves children on, this process is their subreaper: they become its
// own, as orphans of applications do, which are reaped and nothing more.
#pragma once

#include <map>
#include <memory>

#include "common/control/credentials.h"
#include "common/control/launcher.h"
#include "common/core/unique_fd.h"
#include "common/event/event_loop.h"
#include "common/event/io_watcher.h"
#include "common/event/signal_watcher.h"

namespace saola::control {

class ProcessLauncher final : public Launcher {
 public:
  // `binary`: what to execute. Owns SIGCHLD of `loop`, and reaps every child of this process: as
  // pid 1 of a container it inherits strangers.
  ProcessLauncher(EventLoop& loop, UniqueFd binary, Credentials credentials);
  ~ProcessLauncher() override;

  // The running binary, for the constructor.
  static Result<UniqueFd> open_running_binary();

  // Returns when the new image runs, or with the step that failed ("change the user: ...").
  Result<pid_t> launch(const LaunchRequest& request, ExitCallback on_exit) override;
  Result<void> adopt(pid_t pid, ExitCallback on_exit) override;
  void send_signal(pid_t pid, int signal_number) override;

 private:
  struct Process final : Deletable {
    ProcessLauncher* launcher = nullptr;
    pid_t pid = -1;
    UniqueFd pidfd;
    std::unique_ptr<IoWatcher> watcher;  // of pidfd; before it in destruction
    ExitCallback on_exit;
    ~Process() override { watcher.reset(); }
  };

  static void on_pidfd(void* process, short what);
  void watch(pid_t pid, ExitCallback on_exit);
  void reap(pid_t pid);
  void reap_all();

  EventLoop& loop_;
  UniqueFd binary_;
  UniqueFd null_;
  Credentials credentials_;
  std::map<pid_t, std::unique_ptr<Process>> processes_;
  SignalWatcher on_child_;
};

}  // namespace saola::control
