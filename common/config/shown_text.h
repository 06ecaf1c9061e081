// Text from a file or a person inside a message or a TOML file. Pure.
#pragma once

#include <string>
#include <string_view>

namespace saola::config {

// In single quotes, control and non-ASCII bytes as \xHH, cut after 60 bytes: safe on a terminal.
std::string shown(std::string_view text);
// The same without quotes and uncut, for paths and names at the start of a message.
std::string shown_name(std::string_view text);

// A TOML basic string with its quotes. `text` is UTF-8 (see is_clean_text); control characters,
// also U+0080 to U+009F, are written as \uXXXX.
std::string toml_quoted(std::string_view text);

// Valid UTF-8 (RFC 3629) without NUL: what every string of a configuration must be.
bool is_clean_text(std::string_view text);

}  // namespace saola::config
