#include "common/config/log_plan.h"

#include <algorithm>
#include <string_view>

namespace saola::config {
namespace {

bool lists(const std::vector<std::string>& words, std::string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

std::string tag_of(const Log& log, std::string_view name) {
  constexpr std::string_view kPlace = "{log}";
  std::string tag = log.syslog_tag;
  if (const std::size_t at = tag.find(kPlace); at != std::string::npos) {
    tag.replace(at, kPlace.size(), name);
  }
  return tag;
}

// `name`: "error" or "access".
void plan_servers(LogPlan& plan, const Log& log, std::string_view name) {
  RecordStyle style;
  style.redaction = plan.file_style.redaction;
  style.facility = syslog_facility(log.syslog_facility).value_or(style.facility);
  style.tag = tag_of(log, name);
  style.log = name;
  if (!log.syslog.empty() && lists(log.syslog_logs, name)) {
    LogPlan::Server server;
    server.style = style;
    server.style.form = RecordStyle::Form::kSyslog;
    if (parse_syslog_address(log.syslog, server.address)) plan.syslog = server;
  }
  if (!log.journald.empty() && lists(log.journald_logs, name)) {
    style.form = RecordStyle::Form::kJournal;
    plan.journal = LogPlan::Server{{LogAddress::Kind::kJournal, log.journald, {}}, style};
  }
}

}  // namespace

Redaction redaction(const Log& log) {
  return {lists(log.redact, "authorization"), lists(log.redact, "cookies"),
          lists(log.redact, "query")};
}

LogPlan error_log_plan(const Log& log) {
  LogPlan plan;
  plan.file = !log.error.empty();
  if (log.error_format == ErrorFormat::kJson) plan.file_style.form = RecordStyle::Form::kJson;
  plan.file_style.redaction = redaction(log);
  plan_servers(plan, log, "error");
  return plan;
}

// Lines come ready; what they must not show, their format leaves out.
LogPlan access_log_plan(const Log& log, DropNote note) {
  LogPlan plan;
  plan.file = !log.access.empty();
  plan.note = note;
  plan_servers(plan, log, "access");
  return plan;
}

bool has_access_log(const Log& log) {
  const LogPlan plan = access_log_plan(log, nullptr);
  return plan.file || plan.syslog || plan.journal;
}

}  // namespace saola::config
