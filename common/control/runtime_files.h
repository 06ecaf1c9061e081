// RuntimeFiles: what a server has in the file system for others to find it by: its pid files and
// its control socket. Somebody may clear them away under it (rm -rf of the runtime directory);
// every few seconds this looks, and makes anew what has gone. Until then, and where that is not
// possible, the server serves on and signals work. Each loss is one warning in the log.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "common/config/config.h"
#include "common/control/control_socket.h"
#include "common/control/instance_lock.h"
#include "common/event/timer.h"

namespace saola::control {

class RuntimeFiles {
 public:
  static constexpr std::chrono::seconds kLook{5};

  // Opens the control socket. `locks` have been acquired. References outlive it.
  RuntimeFiles(EventLoop& loop, const Logger& log, ControlCommands& commands,
               const config::Config& config, std::vector<InstanceLock>& locks);

  // Makes the directory that the configuration names, if it is not there; whoever puts something
  // into it finds out whether that worked.
  static void make_runtime_directory(const config::Config& config);

  // What the timer does.
  void look();

 private:
  void look_after(InstanceLock& lock);
  void look_after_socket();
  std::unique_ptr<ControlSocket> open_socket(bool quietly);

  EventLoop& loop_;
  const Logger& log_;
  ControlCommands& commands_;
  const config::Config& config_;
  std::vector<InstanceLock>& locks_;
  std::unique_ptr<ControlSocket> socket_;
  bool has_socket_ = false;               // it was open once
  std::set<std::string> cannot_be_made_;  // pid files; told already
  Timer timer_;
};

}  // namespace saola::control
