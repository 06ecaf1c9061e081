#include "proxy/admin/status_page.h"

#include <openssl/evp.h>
#include <openssl/sha.h>

#include <array>

namespace saola::proxy {
namespace {

constexpr std::string_view kPage =
#include "admin/status_page.inc"
    ;

// CSP level 3: 'sha256-' and the base64 of the digest.
std::string hash_source(std::string_view text) {
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest{};
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
  std::array<unsigned char, (SHA256_DIGEST_LENGTH + 2) / 3 * 4 + 1> base64{};
  EVP_EncodeBlock(base64.data(), digest.data(), static_cast<int>(digest.size()));
  return " 'sha256-" + std::string(reinterpret_cast<const char*>(base64.data())) + "'";
}

// Of every <name> without attributes.
std::string hash_sources(std::string_view page, const std::string& name) {
  const std::string opening = "<" + name + ">";
  const std::string closing = "</" + name + ">";
  std::string out;
  for (std::size_t at = 0; (at = page.find(opening, at)) != std::string_view::npos;) {
    at += opening.size();
    const std::size_t end = page.find(closing, at);
    if (end == std::string_view::npos) break;
    out += hash_source(page.substr(at, end - at));
  }
  return out.empty() ? " 'none'" : out;
}

}  // namespace

std::string_view status_page() { return kPage; }

std::string content_security_policy(std::string_view page) {
  return "default-src 'none'; script-src" + hash_sources(page, "script") + "; style-src" +
         hash_sources(page, "style") +
         "; img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
         "frame-ancestors 'none'";
}

}  // namespace saola::proxy
