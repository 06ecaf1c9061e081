// What a TOML text must not have before it is parsed, because toml++ cannot be given it. Pure.
//
// It bounds the nesting of values, but not the parts of a dotted key, and each part is a table
// inside a table that is freed recursively. And where white space may stand it asks whether a
// character beyond ASCII is one, by a function that has no answer for most of them (3.3.0:
// undefined behaviour). TOML has such characters in strings and comments only.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace saola::config {

struct TextPosition {
  std::uint32_t line = 1;
  std::uint32_t column = 1;  // in characters
  bool operator==(const TextPosition&) const = default;
};

enum class Hazard : std::uint8_t {
  kDeepKey,         // a key of too many parts
  kUnquoted,        // a character beyond ASCII outside strings and comments
  kAfterBackslash,  // one after a backslash in a string, or after the white space that it skips
};

struct HazardFound {
  Hazard hazard = Hazard::kDeepKey;
  TextPosition at;
  bool operator==(const HazardFound&) const = default;
};

// The first of them; nothing if there is none. A key may have `most_key_parts`.
std::optional<HazardFound> find_hazard(std::string_view text, std::size_t most_key_parts);

}  // namespace saola::config
