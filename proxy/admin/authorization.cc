#include "proxy/admin/authorization.h"

#include <openssl/evp.h>
#include <strings.h>

#include <algorithm>

namespace saola::proxy {
namespace {

// RFC 9110 section 11.1: the scheme in any case, then spaces. Takes both away.
bool take_scheme(std::string_view& field, std::string_view scheme) {
  if (field.size() <= scheme.size() || field[scheme.size()] != ' ') return false;
  if (::strncasecmp(field.data(), scheme.data(), scheme.size()) != 0) return false;
  field.remove_prefix(std::min(field.find_first_not_of(' ', scheme.size()), field.size()));
  return true;
}

std::optional<std::string> from_base64(std::string_view text) {
  // EVP_DecodeBlock() would skip spaces, and take a '=' anywhere for zeros.
  const std::size_t padding = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;
  if (text.empty() || text.size() % 4 != 0 ||
      text.substr(0, text.size() - padding).find_first_of("= \t\r\n") != std::string_view::npos) {
    return std::nullopt;
  }
  std::string out(text.size() / 4 * 3, '\0');
  const int size = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                                   reinterpret_cast<const unsigned char*>(text.data()),
                                   static_cast<int>(text.size()));
  if (size < 0) return std::nullopt;
  out.resize(out.size() - padding);
  return out;
}

}  // namespace

std::optional<std::string> given_secret(std::string_view authorization) {
  if (take_scheme(authorization, "Bearer")) return std::string(authorization);
  if (!take_scheme(authorization, "Basic")) return std::nullopt;
  const auto decoded = from_base64(authorization);
  const std::size_t colon = decoded ? decoded->find(':') : std::string::npos;
  if (colon == std::string::npos) return std::nullopt;
  return decoded->substr(colon + 1);
}

}  // namespace saola::proxy
