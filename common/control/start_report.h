// StartReport: why a start failed, where the person who started it looks: in the error log, and on
// standard error too if that is another file.
#pragma once

#include <string>

#include "common/core/log.h"

namespace saola::control {

class StartReport {
 public:
  StartReport(const Logger& log, bool log_is_stderr) : log_(log), log_is_stderr_(log_is_stderr) {}

  // `text` may have several lines.
  void problem(const std::string& text) const;

 private:
  const Logger& log_;
  bool log_is_stderr_;
};

}  // namespace saola::control
