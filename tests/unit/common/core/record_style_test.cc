#include "common/core/record_style.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

namespace saola {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::StartsWith;
using Form = RecordStyle::Form;

const LogRecord kRecord{LogLevel::kWarning, "worker app 3", 2, "req-1", "a \"b\"\nc", true};

std::string made(Form form, const LogRecord& record = kRecord) {
  RecordStyle style;
  style.form = form;
  style.facility = 16;
  style.tag = "gunicorn.web.error";
  std::string out;
  append_record(out, record, style);
  return out;
}

std::string pid() { return std::to_string(::getpid()); }

TEST(RecordStyle, JsonIsOneLineWithEveryKey) {
  const std::string stamp = "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\\.[0-9]{3}Z";
  EXPECT_THAT(
      made(Form::kJson),
      MatchesRegex("\\{\"time\":\"" + stamp +
                   "\",\"level\":\"warning\",\"component\":\"worker app 3\",\"pid\":" + pid() +
                   ",\"generation\":2,\"request_id\":\"req-1\",\"message\":\"a "
                   "\\\\\"b\\\\\"\\\\u000ac\"\\}\n"));
  EXPECT_THAT(made(Form::kJson, {LogLevel::kInfo, "edge", 0, {}, "m", false}),
              HasSubstr("\"generation\":null,\"request_id\":null,\"message\":\"m\"}"));
}

TEST(RecordStyle, SyslogIsRfc5424BehindItsLength) {
  const std::string framed = made(Form::kSyslog);
  const FramedRecord first = first_framed_record(framed);
  EXPECT_EQ(first.size, framed.size());
  EXPECT_EQ(framed, std::to_string(first.text.size()) + " " + std::string(first.text));
  EXPECT_THAT(std::string(first.text),
              MatchesRegex("<132>1 [0-9TZ:.-]+ [^ ]+ gunicorn\\.web\\.error " + pid() +
                           " error - worker app 3\\[" + pid() +
                           "\\] generation=2 request=req-1: a \"b\"\nc"));
}

TEST(RecordStyle, SyslogSeveritiesFollowTheLevel) {
  const std::pair<LogLevel, const char*> table[] = {{LogLevel::kDebug, "<135>1 "},
                                                    {LogLevel::kInfo, "<134>1 "},
                                                    {LogLevel::kWarning, "<132>1 "},
                                                    {LogLevel::kError, "<131>1 "},
                                                    {LogLevel::kCritical, "<130>1 "}};
  for (const auto& [level, head] : table) {
    const std::string framed = made(Form::kSyslog, {level, "edge", 0, {}, "m", false});
    EXPECT_THAT(std::string(first_framed_record(framed).text), StartsWith(head));
  }
}

TEST(RecordStyle, JournalFieldsWithLineBreaksCarryTheirLength) {
  const std::string framed = made(Form::kJournal);
  const std::string text(first_framed_record(framed).text);
  EXPECT_THAT(text, StartsWith("PRIORITY=4\nSYSLOG_FACILITY=16\n"
                               "SYSLOG_IDENTIFIER=gunicorn.web.error\nSYSLOG_PID=" +
                               pid() +
                               "\nSAOLA_LOG=error\nSAOLA_COMPONENT=worker app 3\n"
                               "SAOLA_GENERATION=2\nSAOLA_REQUEST_ID=req-1\nMESSAGE\n"));
  const std::string length("\x07\0\0\0\0\0\0\0", 8);
  EXPECT_TRUE(text.ends_with("MESSAGE\n" + length + "a \"b\"\nc\n"));
}

TEST(RecordStyle, AccessLinesAreMessagesOfTheirOwn) {
  RecordStyle style;
  style.form = Form::kSyslog;
  style.log = "access";
  std::string out;
  append_access_line(out, "first line", style);
  const std::size_t first = out.size();
  append_access_line(out, "second", style);
  EXPECT_EQ(first_framed_record(out).size, first);
  EXPECT_TRUE(first_framed_record(out).text.ends_with(" access - first line"));
  EXPECT_TRUE(first_framed_record(out.substr(first)).text.ends_with(" access - second"));
}

TEST(RecordStyle, RedactsInEveryForm) {
  for (const Form form : {Form::kText, Form::kJson, Form::kSyslog, Form::kJournal}) {
    RecordStyle style;
    style.form = form;
    style.redaction.cookies = true;
    std::string out;
    append_record(out, {LogLevel::kInfo, "app", 0, {}, "Cookie: secret", false}, style);
    EXPECT_THAT(out, HasSubstr("Cookie: [redacted]"));
    EXPECT_EQ(out.find("secret"), std::string::npos);
  }
}

TEST(RecordStyle, KnowsGunicornsFacilities) {
  EXPECT_EQ(syslog_facility("user"), 1);
  EXPECT_EQ(syslog_facility("security"), 4);
  EXPECT_EQ(syslog_facility("local7"), 23);
  EXPECT_EQ(syslog_facility("nobody"), std::nullopt);
}

}  // namespace
}  // namespace saola
