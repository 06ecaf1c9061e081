// From [log] to what the writers of a log need.
#pragma once

#include "common/config/config.h"
#include "common/core/log_fan.h"

namespace saola::config {

LogPlan error_log_plan(const Log& log);
LogPlan access_log_plan(const Log& log, DropNote note);
// Whether the access log goes anywhere.
bool has_access_log(const Log& log);
Redaction redaction(const Log& log);

}  // namespace saola::config
