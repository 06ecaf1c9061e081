#include "common/cli/terminal_text.h"

#include <fmt/format.h>

#include <array>
#include <cmath>

#include "common/core/utf8.h"

namespace saola::cli {
namespace {

std::string escaped(std::string_view text, bool keep_lines) {
  std::string out;
  while (!text.empty()) {
    const auto first = static_cast<unsigned char>(text[0]);
    std::size_t length = utf8_sequence_length(text);
    const bool control = first < 0x20 || first == 0x7f || is_c1_control(text);
    if (keep_lines && first == '\n') {
      out += '\n';
    } else if (keep_lines && first == '\t') {
      out += "    ";
    } else if (length == 0 || control) {
      if (length == 0) length = 1;
      for (const char c : text.substr(0, length)) {
        out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
      }
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return out;
}

bool begins_character(char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }

}  // namespace

std::string terminal_line(std::string_view text) { return escaped(text, false); }
std::string terminal_block(std::string_view text) { return escaped(text, true); }

std::size_t columns(std::string_view text) {
  std::size_t count = 0;
  for (const char c : text) count += begins_character(c) ? 1 : 0;
  return count;
}

std::string clipped(std::string_view text, std::size_t width) {
  if (columns(text) <= width) return std::string(text);
  if (width == 0) return {};
  std::size_t count = 0;
  std::size_t end = 0;
  while (end < text.size() && (!begins_character(text[end]) || count < width - 1)) {
    count += begins_character(text[end]) ? 1 : 0;
    ++end;
  }
  return std::string(text.substr(0, end)) + "…";
}

std::string left(std::string_view text, std::size_t width) {
  std::string cell = clipped(text, width);
  return cell + std::string(width - columns(cell), ' ');
}

std::string right(std::string_view text, std::size_t width) {
  const std::string cell = clipped(text, width);
  return std::string(width - columns(cell), ' ') + cell;
}

std::string short_time(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0) return "-";
  if (seconds < 0.9995) return fmt::format("{:.0f}ms", seconds * 1000);
  if (seconds < 59.95) return fmt::format("{:.1f}s", seconds);
  const auto whole = static_cast<std::uint64_t>(std::min(seconds, 1e15));
  if (whole < 3600) return fmt::format("{}m{:02}s", whole / 60, whole % 60);
  if (whole < 86'400) return fmt::format("{}h{:02}m", whole / 3600, whole / 60 % 60);
  return fmt::format("{}d{:02}h", whole / 86'400, whole / 3600 % 24);
}

std::string short_bytes(double bytes) {
  constexpr std::array kUnits{"B", "KiB", "MiB", "GiB", "TiB"};
  if (!std::isfinite(bytes) || bytes < 0) return "-";
  std::size_t unit = 0;
  while (bytes >= 1023.5 && unit + 1 < kUnits.size()) {
    bytes /= 1024;
    ++unit;
  }
  return fmt::format("{:.{}f} {}", bytes, unit > 0 && bytes < 99.95 ? 1 : 0, kUnits[unit]);
}

}  // namespace saola::cli
