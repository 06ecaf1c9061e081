// The key reference of docs/configuration.md, made from the schema; a test compares the two.
#pragma once

#include <string>

namespace saola::config {

// Markdown: a section with a table of keys for each table, and what this version cannot do yet.
std::string print_reference();

// The lines of docs/configuration.md between which the reference stands.
inline constexpr const char* kReferenceBegin = "<!-- reference: begin -->\n";
inline constexpr const char* kReferenceEnd = "<!-- reference: end -->\n";

}  // namespace saola::config
