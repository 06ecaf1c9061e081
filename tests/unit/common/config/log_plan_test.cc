#include "common/config/log_plan.h"

#include <gmock/gmock.h>

#include "load.h"

namespace saola::config {
namespace {

using testing::HasSubstr;

TEST(LogPlan, ByDefaultAnErrorLogOnStandardErrorAndNothingElse) {
  const LogPlan plan = error_log_plan(Log());
  EXPECT_TRUE(plan.file);
  EXPECT_EQ(plan.file_style, RecordStyle());
  EXPECT_FALSE(plan.syslog);
  EXPECT_FALSE(plan.journal);
  EXPECT_FALSE(has_access_log(Log()));
}

TEST(LogPlan, ServersGetTheLogsThatAreListed) {
  Log log;
  log.syslog = "udp:h:600";
  log.syslog_logs = {"access"};
  log.syslog_tag = "a.{log}.b";
  log.syslog_facility = "local0";
  log.journald = "/run/j";
  log.journald_logs = {"error"};
  log.redact = {"cookies"};
  const LogPlan error = error_log_plan(log);
  EXPECT_FALSE(error.syslog);
  ASSERT_TRUE(error.journal);
  EXPECT_EQ(error.journal->address, (LogAddress{LogAddress::Kind::kJournal, "/run/j", {}}));
  EXPECT_EQ(error.journal->style.form, RecordStyle::Form::kJournal);
  EXPECT_TRUE(error.journal->style.redaction.cookies);
  EXPECT_EQ(error.journal->style.tag, "a.error.b");
  const LogPlan access = access_log_plan(log, nullptr);
  EXPECT_FALSE(access.file);
  EXPECT_FALSE(access.journal);
  ASSERT_TRUE(access.syslog);
  EXPECT_EQ(access.syslog->address, (LogAddress{LogAddress::Kind::kUdp, "h", "600"}));
  EXPECT_EQ(access.syslog->style.facility, 16);
  EXPECT_EQ(access.syslog->style.tag, "a.access.b");
  EXPECT_TRUE(has_access_log(log));
}

}  // namespace
}  // namespace saola::config
