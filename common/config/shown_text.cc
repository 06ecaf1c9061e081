#include "common/config/shown_text.h"

#include <fmt/format.h>

#include <cstdint>

namespace saola::config {
namespace {

std::uint8_t byte_at(std::string_view text, std::size_t i) {
  return static_cast<std::uint8_t>(text[i]);
}

bool is_continuation(std::string_view text, std::size_t i) {
  return i < text.size() && (byte_at(text, i) & 0xc0U) == 0x80U;
}

// Bytes of the UTF-8 sequence at `i` (RFC 3629 section 4); 0 if it is none.
std::size_t sequence_length(std::string_view text, std::size_t i) {
  const std::uint8_t first = byte_at(text, i);
  if (first < 0x80) return 1;
  if (first < 0xc2 || first > 0xf4) return 0;
  if (!is_continuation(text, i + 1)) return 0;
  const std::uint8_t second = byte_at(text, i + 1);
  if (first < 0xe0) return 2;
  if ((first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f)) return 0;
  if (!is_continuation(text, i + 2)) return 0;
  if (first < 0xf0) return 3;
  if ((first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f)) return 0;
  return is_continuation(text, i + 3) ? 4 : 0;
}

}  // namespace

std::string shown_name(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<std::uint8_t>(c);
    if (byte < 0x20 || byte >= 0x7f) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out += c;
    }
  }
  return out;
}

std::string shown(std::string_view text) {
  constexpr std::size_t kMost = 60;
  const std::string_view cut = text.size() > kMost ? "..." : "";
  return fmt::format("'{}{}'", shown_name(text.substr(0, kMost)), cut);
}

std::string toml_quoted(std::string_view text) {
  std::string out = "\"";
  for (std::size_t i = 0; i < text.size(); ++i) {
    const std::uint8_t byte = byte_at(text, i);
    const bool high_control =
        byte == 0xc2 && is_continuation(text, i + 1) && byte_at(text, i + 1) < 0xa0;
    if (byte == '"' || byte == '\\') {
      out += '\\';
      out += text[i];
    } else if (byte == '\n') {
      out += "\\n";
    } else if (byte == '\t') {
      out += "\\t";
    } else if (byte < 0x20 || byte == 0x7f) {
      out += fmt::format("\\u{:04X}", byte);
    } else if (high_control) {
      out += fmt::format("\\u{:04X}", byte_at(text, ++i));
    } else {
      out += text[i];
    }
  }
  return out + "\"";
}

bool is_clean_text(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t length = text[i] == '\0' ? 0 : sequence_length(text, i);
    if (length == 0) return false;
    i += length;
  }
  return true;
}

}  // namespace saola::config
