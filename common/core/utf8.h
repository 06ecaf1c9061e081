// UTF-8 as RFC 3629 section 4 defines it: no overlong forms, no surrogates, nothing above U+10FFFF.
#pragma once

#include <cstddef>
#include <string_view>

namespace saola {

// The length (1 to 4) of the valid sequence that `text` starts with; 0 if it starts with none.
constexpr std::size_t utf8_sequence_length(std::string_view text) {
  const auto at = [text](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const auto tail = [&](std::size_t i) { return (at(i) & 0xC0) == 0x80; };
  if (text.empty()) return 0;
  const unsigned char first = at(0);
  if (first < 0x80) return 1;
  if (first < 0xC2) return 0;
  if (first < 0xE0) return text.size() > 1 && tail(1) ? 2 : 0;
  if (first < 0xF0) {
    if (text.size() < 3 || !tail(1) || !tail(2)) return 0;
    if (first == 0xE0 && at(1) < 0xA0) return 0;
    if (first == 0xED && at(1) > 0x9F) return 0;
    return 3;
  }
  if (first > 0xF4 || text.size() < 4 || !tail(1) || !tail(2) || !tail(3)) return 0;
  if (first == 0xF0 && at(1) < 0x90) return 0;
  if (first == 0xF4 && at(1) > 0x8F) return 0;
  return 4;
}

// True if the sequence at the start of `text` is a control character beyond ASCII (U+0080 to
// U+009F): some terminals obey those.
constexpr bool is_c1_control(std::string_view text) {
  return text.size() > 1 && static_cast<unsigned char>(text[0]) == 0xC2 &&
         static_cast<unsigned char>(text[1]) < 0xA0;
}

}  // namespace saola
