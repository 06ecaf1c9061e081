// StartReport: what came of a start, for the person who started it. Why it failed is in the error
// log, and on standard error too if that is another file. Of a server in the background a command
// waits for the outcome (daemon.h): it is told instead.
#pragma once

#include <string>
#include <utility>

#include "common/core/log.h"
#include "common/core/unique_fd.h"

namespace saola::control {

class StartReport {
 public:
  // `starter`: the command's end of a pipe, if there is one.
  StartReport(const Logger& log, bool log_is_stderr, UniqueFd starter = UniqueFd())
      : log_(log), log_is_stderr_(log_is_stderr), starter_(std::move(starter)) {}

  // `text` may have several lines.
  void problem(const std::string& text) const;
  // The end of the start: 0, it serves; else the server's exit code. The first one counts.
  void outcome(int exit_code);
  // Who has not heard an outcome yet.
  UniqueFd take_starter() { return std::move(starter_); }

 private:
  const Logger& log_;
  bool log_is_stderr_;
  UniqueFd starter_;
};

}  // namespace saola::control
