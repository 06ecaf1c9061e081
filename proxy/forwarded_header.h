// The Forwarded field (RFC 7239 section 4). Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace saola::proxy {

// What one proxy said; empty where it said nothing.
struct ForwardedElement {
  std::string node;  // for=, quotes removed: an address with or without port, "unknown", "_hidden"
  std::string host;
  std::string proto;
};

// Appends the elements of one field value, in order. False if it does not follow the grammar to its
// last byte, or names a parameter twice in an element; some may have been appended then.
bool parse_forwarded(std::string_view value, std::vector<ForwardedElement>& elements);

}  // namespace saola::proxy
