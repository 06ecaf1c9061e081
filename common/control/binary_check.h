// BinaryCheck: runs the binary of an upgrade as a child, with the supervisor's own arguments, and
// asks whether it could take over: whether it is a Saola, reads the state, the configuration and
// the keys. It starts no edge, no worker and opens no listener.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "common/control/launcher.h"
#include "common/control/upgrade_state.h"
#include "common/core/result.h"
#include "common/core/unique_fd.h"
#include "common/event/event_loop.h"
#include "common/event/io_watcher.h"
#include "common/event/timer.h"

namespace saola::control {

class BinaryCheck {
 public:
  static constexpr std::chrono::seconds kTimeout{20};
  // The file that was asked, opened: it can be executed even if the path names another by then; or
  // why it cannot take over, in its own words (several lines). Called once, maybe at once.
  using Done = std::function<void(Result<UniqueFd> binary)>;

  // References outlive it.
  BinaryCheck(EventLoop& loop, Launcher& launcher);
  ~BinaryCheck();

  // Asks the binary at state.binary_path. One at a time.
  void check(const UpgradeState& state, const std::vector<std::string>& arguments, Done done);

 private:
  static void on_output(void* self, short what);
  static void on_timeout(void* self);
  Result<void> start(const UpgradeState& state, const std::vector<std::string>& arguments);
  void read_output();
  void exited(int wait_status);

  EventLoop& loop_;
  Launcher& launcher_;
  Timer timer_;
  UniqueFd binary_;
  UniqueFd output_;
  std::unique_ptr<IoWatcher> watcher_;
  std::string said_;
  pid_t pid_ = -1;
  bool timed_out_ = false;
  Done done_;
};

}  // namespace saola::control
