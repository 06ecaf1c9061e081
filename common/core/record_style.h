// The forms that a record of a log has at its destinations, as bytes. No I/O.
//
//   kText     the line of log.h
//   kJson     an object per line: time, level, component, pid, generation, request_id, message
//   kSyslog   RFC 5424, framed as RFC 6587 section 3.4.1 has it for streams: "LENGTH MESSAGE"
//   kJournal  journald's native protocol, framed the same way: "LENGTH FIELDS"
//
// The length in front tells a queue of bytes where a record ends; a stream to a syslog server takes
// it along, a datagram does without (log_outlet.h).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/core/log.h"
#include "common/core/redaction.h"

namespace saola {

struct RecordStyle {
  enum class Form : std::uint8_t { kText, kJson, kSyslog, kJournal };
  Form form = Form::kText;
  Redaction redaction = {};
  // Syslog and journal:
  int facility = 3;           // RFC 5424 section 6.2.1
  std::string tag = "saola";  // APP-NAME, SYSLOG_IDENTIFIER
  std::string log = "error";  // which log it is: MSGID, SAOLA_LOG

  bool framed() const { return form == Form::kSyslog || form == Form::kJournal; }
  bool operator==(const RecordStyle&) const = default;
};

void append_record(std::string& out, const LogRecord& record, const RecordStyle& style);

// A line of an access log as a record of its own, for the framed forms. `line` has no line break.
void append_access_line(std::string& out, std::string_view line, const RecordStyle& style);

// The codes of RFC 5424 by the names of syslog.conf and gunicorn: "user", "daemon", "local0", ...
std::optional<int> syslog_facility(std::string_view name);

// The framed record at the start of `bytes`: what stands behind its length, and how many bytes both
// have together. Only for what append_record() made.
struct FramedRecord {
  std::string_view text;
  std::size_t size = 0;
};
FramedRecord first_framed_record(std::string_view bytes);

}  // namespace saola
