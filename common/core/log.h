// The error log: one line per record, made only when its level is on.
//
//   2026-01-31T08:15:42.123Z warning edge[4711] generation=2 request=abc: queue deadline passed
//
// Logger makes records; a LogSink gives them the form that its destination wants (record_style.h)
// and must not block its caller. Control bytes in a message are escaped (\n becomes "\x0a") so
// that one record is always one line. A Logger is a small value to copy (a pointer and a name); the
// sink outlives all of them. Thread safety is the sink's.
#pragma once

#include <fmt/format.h>

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>

namespace saola {

enum class LogLevel : std::uint8_t { kDebug, kInfo, kWarning, kError, kCritical };

const char* log_level_name(LogLevel level);

// Views live as long as the call that they are given to.
struct LogRecord {
  LogLevel level = LogLevel::kInfo;
  std::string_view component;
  std::uint32_t generation = 0;  // 0: none
  std::string_view request_id;   // empty: none
  std::string_view message;
  bool keep_lines = false;  // a block of several lines: its line breaks are part of it
};

class LogSink {
 public:
  virtual ~LogSink() = default;
  // `line` ends with "\n". Called from any thread.
  virtual void write_line(std::string_view line) = 0;
  // In the sink's own form; unless it has one, as the text above.
  virtual void write_record(const LogRecord& record);
};

// Writes each line with one write(2) to a descriptor that it does not own. May block: for tests,
// and for what a process says before it has a log. All others use LogFan (log_fan.h).
class DirectSink final : public LogSink {
 public:
  explicit DirectSink(int fd) : fd_(fd) {}
  void redirect(int fd) { fd_ = fd; }
  void write_line(std::string_view line) override;

 private:
  int fd_;
};

class Logger {
 public:
  // `component` as shown in the record: "supervisor", "edge", "worker app 3".
  Logger(LogSink& sink, std::string component, LogLevel level);

  bool enabled(LogLevel level) const { return level >= level_; }
  LogLevel level() const { return level_; }
  void set_level(LogLevel level) { level_ = level; }
  // Shown in each record; 0: not.
  void set_generation(std::uint32_t generation) { generation_ = generation; }

  // The record's text as it is; `request_id` may be empty.
  void write(LogLevel level, std::string_view message, std::string_view request_id = {}) const;
  // Like write(), but a message of several lines (a traceback) keeps its line breaks.
  void write_block(LogLevel level, std::string_view message,
                   std::string_view request_id = {}) const;

  template <class... A>
  void debug(fmt::format_string<A...> format, A&&... args) const {
    log(LogLevel::kDebug, format, std::forward<A>(args)...);
  }
  template <class... A>
  void info(fmt::format_string<A...> format, A&&... args) const {
    log(LogLevel::kInfo, format, std::forward<A>(args)...);
  }
  template <class... A>
  void warning(fmt::format_string<A...> format, A&&... args) const {
    log(LogLevel::kWarning, format, std::forward<A>(args)...);
  }
  template <class... A>
  void error(fmt::format_string<A...> format, A&&... args) const {
    log(LogLevel::kError, format, std::forward<A>(args)...);
  }
  template <class... A>
  void critical(fmt::format_string<A...> format, A&&... args) const {
    log(LogLevel::kCritical, format, std::forward<A>(args)...);
  }

 private:
  template <class... A>
  void log(LogLevel level, fmt::format_string<A...> format, A&&... args) const {
    if (enabled(level)) write(level, fmt::format(format, std::forward<A>(args)...));
  }

  LogSink* sink_;
  std::string component_;
  LogLevel level_;
  std::uint32_t generation_ = 0;
};

// Appends the record as the text above, with "\n".
void append_text_record(std::string& out, const LogRecord& record);

// Appends a message for people: text in any language stays readable, what a terminal would obey
// does not. With `keep_lines`, line breaks and tabs stay.
void append_message(std::string& out, std::string_view text, bool keep_lines);
// Appends who wrote a record and about what: "edge[4711] generation=2 request=5f: ".
void append_origin(std::string& out, const LogRecord& record);

// Appends `text` to `out` with bytes below 0x20, 0x7f, '"' and '\\' written as \xHH (two hex
// digits, lower case), so that it can stand in one line of a log or a terminal. Bytes >= 0x80 are
// escaped too.
void append_escaped(std::string& out, std::string_view text);

// 2026-01-31T08:15:42.123Z, UTC, now.
void append_timestamp(std::string& out);
std::string log_timestamp();

}  // namespace saola
