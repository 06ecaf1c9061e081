// What a request target's path means, stated once (docs/configuration.md tells users). Pure.
//
// - percent-decoding happens once; "%00" and a bare NUL are refused; "%2F" becomes "/" in `path`
//   as the WSGI and ASGI specifications have it, while raw_path keeps it;
// - routes match on the decoded path, after "." and ".." segments (also "%2e") have been checked: a
// path that would climb above
//   the root is refused (400); other dot segments and "//" are left to the app exactly as sent;
// - an incomplete or malformed percent sequence is refused;
// - bytes that are not UTF-8 are allowed for WSGI (latin-1) and decoded with U+FFFD for ASGI.
#pragma once

#include <string>
#include <string_view>

#include "common/core/result.h"
#include "proxy/http1/request_parser.h"

namespace saola::proxy {

// Decodes `raw_path` into `out` (cleared first).
Result<void, http1::HttpError> decode_path(std::string_view raw_path, std::string& out);

// True if the ".." segments of a decoded path lead above its first "/" at any point. Empty segments
// count for nothing, so that it also holds for those who merge slashes.
bool climbs_above_root(std::string_view path);

}  // namespace saola::proxy
