#include "common/control/start_report.h"

#include <unistd.h>

namespace saola::control {

void StartReport::problem(const std::string& text) const {
  log_.write_block(LogLevel::kCritical, text);
  if (log_is_stderr_) return;
  DirectSink standard_error(STDERR_FILENO);
  Logger(standard_error, "supervisor", LogLevel::kCritical).write_block(LogLevel::kCritical, text);
}

}  // namespace saola::control
