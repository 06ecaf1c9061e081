// The "json" access log: one object (RFC 8259) per line, written as text at once.
#pragma once

#include <string>
#include <string_view>

#include "proxy/access_log_atoms.h"

namespace saola::proxy {

// Appends the object, without a line break. Every line has all keys; null is what is not known.
void append_json_record(std::string& out, const AccessRecord& record, const Redaction& redaction,
                        LogClock& clock);

}  // namespace saola::proxy
