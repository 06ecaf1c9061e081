// Text as JSON (RFC 8259), written at once: for log lines, which are made by the million.
#pragma once

#include <string>
#include <string_view>

namespace saola {

// Appends `text` as a JSON string with its quotes. Control characters are escaped, and so is what
// is not UTF-8: as U+FFFD, one for each byte, because JSON knows no bytes.
void append_json_string(std::string& out, std::string_view text);

}  // namespace saola
