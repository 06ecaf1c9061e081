// The "json" access log: one object (RFC 8259) per line, written as text at once.
#pragma once

#include <string>
#include <string_view>

#include "proxy/access_log_atoms.h"

namespace saola::proxy {

// Appends `text` as a JSON string with its quotes. Control characters are escaped, and so is what
// is not UTF-8: as U+FFFD, one for each byte, because JSON knows no bytes.
void append_json_string(std::string& out, std::string_view text);

// Appends the object, without a line break. Every line has all keys; null is what is not known.
void append_json_record(std::string& out, const AccessRecord& record, LogClock& clock);

}  // namespace saola::proxy
