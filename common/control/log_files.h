// The error log and the access log as descriptors, opened by the supervisor while it may, and again
// when asked to (log rotation).
#pragma once

#include "common/config/config.h"
#include "common/core/result.h"
#include "common/core/unique_fd.h"

namespace saola::control {

struct LogFiles {
  UniqueFd error;
  UniqueFd access;  // invalid: no access log
};

// Files are made with mode 0640 and appended to. "-" is a duplicate of standard error (error log)
// or standard output (access log); an empty one /dev/null: that log goes to syslog or journald,
// which each process connects to by itself (common/core/log_fan.h). The flags of an inherited
// descriptor are never changed: it is shared with others.
Result<LogFiles> open_log_files(const config::Config& config);

}  // namespace saola::control
