// The secret in an Authorization field: Bearer (RFC 6750), or Basic (RFC 7617) for browsers, which
// can be made to ask for a password and for nothing else. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace saola::proxy {

// Of Bearer the token, of Basic the password; nothing if it is neither. The name that came with a
// password does not matter.
std::optional<std::string> given_secret(std::string_view authorization);

}  // namespace saola::proxy
