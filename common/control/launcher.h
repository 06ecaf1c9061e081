// Launcher: starts child processes, takes in those that a child forked or that another image of this
// process started, and says when they have ended. The real one is ProcessLauncher; tests have one
// that starts nothing.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>

#include "common/core/result.h"

namespace saola::control {

struct LaunchRequest {
  std::string title;    // argv[0], what ps shows
  std::string role;     // "edge", "worker" or "zygote": SAOLA_ROLE becomes "role:FD"
  int control_fd = -1;  // the only descriptor above 2 that the child inherits; stays the caller's
  // What it forks and leaves behind becomes this process's child: adopt() follows.
  bool leaves_children = false;
};

class Launcher {
 public:
  // Called once, in the loop's thread and never from within launch() or adopt(), after the process
  // was reaped.
  using ExitCallback = std::function<void(int wait_status)>;

  virtual ~Launcher() = default;
  virtual Result<pid_t> launch(const LaunchRequest& request, ExitCallback on_exit) = 0;
  // A child that launch() did not start. Fails if it is no child of this process (any more): whoever
  // names the pid is not trusted.
  virtual Result<void> adopt(pid_t pid, ExitCallback on_exit) = 0;
  // Only for a pid of launch() or adopt() whose exit was not reported yet.
  virtual void send_signal(pid_t pid, int signal_number) = 0;
};

}  // namespace saola::control
