// Text as Python reads it, for options whose users think in Python: shlex.split() and int(). Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/core/result.h"

namespace saola::cli {

// shlex.split(text): POSIX quoting, no comments. Errors: a quotation that is not closed, a
// backslash at the end.
Result<std::vector<std::string>> split_shell_words(std::string_view text);

enum class IntegerSyntax : std::uint8_t {
  kDecimal,  // int(text): 42, +42, 1_000, spaces around
  kLiteral,  // int(text, 0): also 0x2a, 0o52, 0b101010, but no leading zeros
  kMode,     // kLiteral, and 022 is octal (gunicorn's umask)
};

// Nothing if Python would raise ValueError, or if it does not fit.
std::optional<std::int64_t> parse_python_integer(std::string_view text, IntegerSyntax syntax);

// str.strip() for ASCII white space.
std::string_view stripped(std::string_view text);

// The parts between commas, stripped; empty ones are left out.
std::vector<std::string> split_at_commas(std::string_view text);

// str.lower() for ASCII letters.
std::string lowered(std::string_view text);

}  // namespace saola::cli
