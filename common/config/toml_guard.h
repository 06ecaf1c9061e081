// What a TOML text must not have before it is parsed: toml++ bounds the nesting of values, but not
// the parts of a dotted key, and each part is a table inside a table that is freed recursively.
// Pure.
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

// Where a key has more than `most` parts; nothing if none has.
std::optional<TextPosition> find_deep_key(std::string_view text, std::size_t most);

}  // namespace saola::config
