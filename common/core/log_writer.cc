#include "common/core/log_writer.h"

#include <algorithm>

namespace saola {

std::size_t append_lines(std::string& out, std::string_view lines, const RecordStyle& style) {
  if (!style.framed()) {
    out += lines;
    return static_cast<std::size_t>(std::count(lines.begin(), lines.end(), '\n'));
  }
  std::size_t count = 0;
  while (!lines.empty()) {
    const std::size_t end = std::min(lines.find('\n'), lines.size());
    append_access_line(out, lines.substr(0, end), style);
    lines.remove_prefix(std::min(end + 1, lines.size()));
    ++count;
  }
  return count;
}

std::string plain_drop_note(std::uint64_t lines) {
  return fmt::format("{} warning log: {} lines dropped: the log was not written fast enough\n",
                     log_timestamp(), lines);
}

std::string make_drop_note(std::uint64_t lines, const RecordStyle& style, DropNote note) {
  if (!style.framed() && note != nullptr) return note(lines);
  if (style.form == RecordStyle::Form::kText) return plain_drop_note(lines);
  const std::string message =
      fmt::format("{} lines dropped: the log was not written fast enough", lines);
  std::string text;
  append_record(text, {LogLevel::kWarning, "log", 0, {}, message, false}, style);
  return text;
}

}  // namespace saola
