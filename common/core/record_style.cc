#include "common/core/record_style.h"

#include <limits.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <iterator>

#include "common/core/json_text.h"

namespace saola {
namespace {

// RFC 5424 section 6.2.1.
int severity(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return 7;
    case LogLevel::kInfo:
      return 6;
    case LogLevel::kWarning:
      return 4;
    case LogLevel::kError:
      return 3;
    case LogLevel::kCritical:
      return 2;
  }
  return 5;
}

const std::string& host_name() {
  static const std::string name = [] {
    std::array<char, HOST_NAME_MAX + 1> space{};
    if (::gethostname(space.data(), space.size() - 1) != 0 || space[0] == '\0') {
      return std::string("-");
    }
    return std::string(space.data());
  }();
  return name;
}

void append_json(std::string& out, const LogRecord& record) {
  out += "{\"time\":\"";
  append_timestamp(out);
  out += "\",\"level\":\"";
  out += log_level_name(record.level);
  out += "\",\"component\":";
  append_json_string(out, record.component);
  fmt::format_to(std::back_inserter(out), ",\"pid\":{},\"generation\":", ::getpid());
  if (record.generation == 0) {
    out += "null";
  } else {
    fmt::format_to(std::back_inserter(out), "{}", record.generation);
  }
  out += ",\"request_id\":";
  if (record.request_id.empty()) {
    out += "null";
  } else {
    append_json_string(out, record.request_id);
  }
  out += ",\"message\":";
  append_json_string(out, record.message);
  out += "}\n";
}

void append_syslog_head(std::string& out, LogLevel level, const RecordStyle& style) {
  fmt::format_to(std::back_inserter(out), "<{}>1 ", style.facility * 8 + severity(level));
  append_timestamp(out);
  fmt::format_to(std::back_inserter(out), " {} {} {} {} - ", host_name(), style.tag, ::getpid(),
                 style.log);
}

// systemd's "Journal Export" rules: text with a line break has its length, 64 bits little endian,
// in front.
void append_journal_field(std::string& out, std::string_view name, std::string_view value) {
  out += name;
  if (value.find('\n') == std::string_view::npos) {
    out.push_back('=');
  } else {
    out.push_back('\n');
    for (unsigned shift = 0; shift < 64; shift += 8) {
      out.push_back(static_cast<char>((std::uint64_t{value.size()} >> shift) & 0xffU));
    }
  }
  out += value;
  out.push_back('\n');
}

void append_journal_head(std::string& out, LogLevel level, const RecordStyle& style) {
  append_journal_field(out, "PRIORITY", std::to_string(severity(level)));
  append_journal_field(out, "SYSLOG_FACILITY", std::to_string(style.facility));
  append_journal_field(out, "SYSLOG_IDENTIFIER", style.tag);
  append_journal_field(out, "SYSLOG_PID", std::to_string(::getpid()));
  append_journal_field(out, "SAOLA_LOG", style.log);
}

void append_journal(std::string& out, const LogRecord& record, const RecordStyle& style) {
  append_journal_head(out, record.level, style);
  append_journal_field(out, "SAOLA_COMPONENT", record.component);
  if (record.generation != 0) {
    append_journal_field(out, "SAOLA_GENERATION", std::to_string(record.generation));
  }
  if (!record.request_id.empty()) {
    append_journal_field(out, "SAOLA_REQUEST_ID", record.request_id);
  }
  std::string message;
  append_message(message, record.message, record.keep_lines);
  append_journal_field(out, "MESSAGE", message);
}

// Puts the length of what `append` appends in front of it.
template <class Append>
void append_framed(std::string& out, Append&& append) {
  thread_local std::string body;
  body.clear();
  append(body);
  fmt::format_to(std::back_inserter(out), "{} ", body.size());
  out += body;
}

void append_shown(std::string& out, const LogRecord& record, const RecordStyle& style) {
  switch (style.form) {
    case RecordStyle::Form::kText:
      return append_text_record(out, record);
    case RecordStyle::Form::kJson:
      return append_json(out, record);
    case RecordStyle::Form::kSyslog:
      return append_framed(out, [&](std::string& body) {
        append_syslog_head(body, record.level, style);
        append_origin(body, record);
        append_message(body, record.message, record.keep_lines);
      });
    case RecordStyle::Form::kJournal:
      return append_framed(out, [&](std::string& body) { append_journal(body, record, style); });
  }
}

struct Facility {
  std::string_view name;
  int code;
};
constexpr Facility kFacilities[] = {
    {"kern", 0},     {"user", 1},      {"mail", 2},    {"daemon", 3},  {"auth", 4},
    {"security", 4}, {"syslog", 5},    {"lpr", 6},     {"news", 7},    {"uucp", 8},
    {"cron", 9},     {"authpriv", 10}, {"ftp", 11},    {"local0", 16}, {"local1", 17},
    {"local2", 18},  {"local3", 19},   {"local4", 20}, {"local5", 21}, {"local6", 22},
    {"local7", 23},
};

}  // namespace

void append_record(std::string& out, const LogRecord& record, const RecordStyle& style) {
  if (!style.redaction.any()) return append_shown(out, record, style);
  std::string message;
  append_redacted(message, record.message, style.redaction);
  LogRecord shown = record;
  shown.message = message;
  append_shown(out, shown, style);
}

void append_access_line(std::string& out, std::string_view line, const RecordStyle& style) {
  append_framed(out, [&](std::string& body) {
    if (style.form == RecordStyle::Form::kSyslog) {
      append_syslog_head(body, LogLevel::kInfo, style);
      body += line;
    } else {
      append_journal_head(body, LogLevel::kInfo, style);
      append_journal_field(body, "MESSAGE", line);
    }
  });
}

std::optional<int> syslog_facility(std::string_view name) {
  for (const Facility& known : kFacilities) {
    if (known.name == name) return known.code;
  }
  return std::nullopt;
}

FramedRecord first_framed_record(std::string_view bytes) {
  std::size_t length = 0;
  const auto digits = std::from_chars(bytes.data(), bytes.data() + bytes.size(), length);
  const auto head = static_cast<std::size_t>(digits.ptr - bytes.data()) + 1;
  return {bytes.substr(head, length), head + length};
}

}  // namespace saola
