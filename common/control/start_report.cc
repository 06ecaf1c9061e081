#include "common/control/start_report.h"

#include <unistd.h>

#include "common/control/daemon.h"

namespace saola::control {

void StartReport::problem(const std::string& text) const {
  log_.write_block(LogLevel::kCritical, text);
  if (!starter_ && log_is_stderr_) return;
  DirectSink other(starter_ ? starter_.get() : STDERR_FILENO);
  Logger(other, "supervisor", LogLevel::kCritical).write_block(LogLevel::kCritical, text);
}

void StartReport::outcome(int exit_code) {
  if (!starter_) return;
  tell_starter(starter_, exit_code);
  starter_.reset();
}

}  // namespace saola::control
