#include "common/core/log.h"

#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <ctime>

#include "common/core/utf8.h"

namespace saola {
namespace {

constexpr char kHexDigits[] = "0123456789abcdef";

void append_hex(std::string& out, unsigned char byte) {
  const char escape[] = {'\\', 'x', kHexDigits[byte >> 4], kHexDigits[byte & 15]};
  out.append(escape, sizeof escape);
}

// Printable ASCII without the two characters that end or start something in a quoted field.
constexpr std::array<bool, 256> make_plain_table() {
  std::array<bool, 256> table{};
  for (std::size_t i = 0x20; i < 0x7f; ++i) table[i] = i != '"' && i != '\\';
  return table;
}
constexpr std::array<bool, 256> kPlain = make_plain_table();

void append_digits(std::string& out, unsigned value, int width) {
  std::array<char, 10> digits;
  for (int i = width - 1; i >= 0; --i, value /= 10) {
    digits[static_cast<std::size_t>(i)] = static_cast<char>('0' + value % 10);
  }
  out.append(digits.data(), static_cast<std::size_t>(width));
}

}  // namespace

const char* log_level_name(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarning:
      return "warning";
    case LogLevel::kError:
      return "error";
    case LogLevel::kCritical:
      return "critical";
  }
  return "unknown";
}

void append_escaped(std::string& out, std::string_view text) {
  std::size_t start = 0;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const auto byte = static_cast<unsigned char>(text[at]);
    if (kPlain[byte]) continue;
    out.append(text, start, at - start);
    append_hex(out, byte);
    start = at + 1;
  }
  out.append(text, start);
}

std::string log_timestamp() {
  std::string text;
  append_timestamp(text);
  return text;
}

void append_message(std::string& out, std::string_view text, bool keep_lines) {
  std::size_t start = 0;
  std::size_t at = 0;
  while (at < text.size()) {
    const auto byte = static_cast<unsigned char>(text[at]);
    const bool layout = keep_lines && (byte == '\n' || byte == '\t');
    if ((byte >= 0x20 && byte < 0x7f) || layout) {
      ++at;
      continue;
    }
    const std::size_t length = byte < 0x80 ? 0 : utf8_sequence_length(text.substr(at));
    if (length > 0 && !is_c1_control(text.substr(at))) {
      at += length;
      continue;
    }
    out.append(text, start, at - start);
    append_hex(out, byte);
    start = ++at;
  }
  out.append(text, start);
}

// The calendar is worked out once a second and thread.
void append_timestamp(std::string& out) {
  using std::chrono::milliseconds;
  const auto now =
      std::chrono::duration_cast<milliseconds>(std::chrono::system_clock::now().time_since_epoch());
  const auto second = static_cast<std::time_t>(now.count() / 1000);
  thread_local std::time_t known_second = -1;
  thread_local std::string known;
  if (second != known_second) {
    std::tm calendar{};
    ::gmtime_r(&second, &calendar);
    known.clear();
    const auto part = [&](int value, int width, char after) {
      append_digits(known, static_cast<unsigned>(value), width);
      known.push_back(after);
    };
    part(calendar.tm_year + 1900, 4, '-');
    part(calendar.tm_mon + 1, 2, '-');
    part(calendar.tm_mday, 2, 'T');
    part(calendar.tm_hour, 2, ':');
    part(calendar.tm_min, 2, ':');
    part(calendar.tm_sec, 2, '.');
    known_second = second;
  }
  out += known;
  append_digits(out, static_cast<unsigned>(now.count() % 1000), 3);
  out.push_back('Z');
}

void append_origin(std::string& out, const LogRecord& record) {
  append_message(out, record.component, false);
  fmt::format_to(std::back_inserter(out), "[{}]", ::getpid());
  if (record.generation != 0) {
    fmt::format_to(std::back_inserter(out), " generation={}", record.generation);
  }
  if (!record.request_id.empty()) {
    out += " request=";
    append_escaped(out, record.request_id);
  }
  out += ": ";
}

void append_text_record(std::string& out, const LogRecord& record) {
  out.reserve(out.size() + 96 + record.component.size() + record.request_id.size() +
              record.message.size());
  append_timestamp(out);
  out.push_back(' ');
  out += log_level_name(record.level);
  out.push_back(' ');
  append_origin(out, record);
  append_message(out, record.message, record.keep_lines);
  out.push_back('\n');
}

void LogSink::write_record(const LogRecord& record) {
  std::string line;
  append_text_record(line, record);
  write_line(line);
}

void DirectSink::write_line(std::string_view line) {
  while (!line.empty()) {
    const ssize_t n = ::write(fd_, line.data(), line.size());
    if (n >= 0) {
      line.remove_prefix(static_cast<std::size_t>(n));
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      // Somebody who shares this descriptor made it non-blocking.
      pollfd wait{fd_, POLLOUT, 0};
      ::poll(&wait, 1, 1000);
    } else if (errno != EINTR) {
      return;  // there is no second place to tell it
    }
  }
}

Logger::Logger(LogSink& sink, std::string component, LogLevel level)
    : sink_(&sink), component_(std::move(component)), level_(level) {}

void Logger::write(LogLevel level, std::string_view message, std::string_view request_id) const {
  if (!enabled(level)) return;
  sink_->write_record({level, component_, generation_, request_id, message, false});
}

void Logger::write_block(LogLevel level, std::string_view message,
                         std::string_view request_id) const {
  if (!enabled(level)) return;
  while (!message.empty() && message.back() == '\n') message.remove_suffix(1);
  sink_->write_record({level, component_, generation_, request_id, message, true});
}

}  // namespace saola
