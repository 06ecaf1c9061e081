#include "common/core/json_text.h"

#include "common/core/utf8.h"

namespace saola {
namespace {

constexpr char kHexDigits[] = "0123456789abcdef";

void append_unicode_escape(std::string& out, unsigned code) {
  const char escape[] = {'\\',
                         'u',
                         kHexDigits[code >> 12 & 15],
                         kHexDigits[code >> 8 & 15],
                         kHexDigits[code >> 4 & 15],
                         kHexDigits[code & 15]};
  out.append(escape, sizeof escape);
}

}  // namespace

void append_json_string(std::string& out, std::string_view text) {
  out.push_back('"');
  std::size_t start = 0;
  std::size_t at = 0;
  while (at < text.size()) {
    const auto byte = static_cast<unsigned char>(text[at]);
    if (byte >= 0x20 && byte < 0x7f && byte != '"' && byte != '\\') {
      ++at;
      continue;
    }
    const std::size_t length = byte < 0x80 ? 0 : utf8_sequence_length(text.substr(at));
    const bool c1 = length > 0 && is_c1_control(text.substr(at));
    if (length > 0 && !c1) {
      at += length;
      continue;
    }
    out.append(text, start, at - start);
    if (byte == '"' || byte == '\\') {
      out.push_back('\\');
      out.push_back(static_cast<char>(byte));
    } else if (c1) {
      append_unicode_escape(out, static_cast<unsigned char>(text[++at]));
    } else {
      append_unicode_escape(out, byte < 0x80 ? byte : 0xfffdU);
    }
    start = ++at;
  }
  out.append(text, start);
  out.push_back('"');
}

}  // namespace saola
