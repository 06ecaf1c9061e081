// Field names and methods that travel as one byte. Ids are part of the wire version.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace saola::ipc {

// The id of a lower-case field name, or 0 if it has none. Constant time, no allocation.
std::uint8_t header_name_id(std::string_view lower_case_name);

// The same for a name in any case.
std::uint8_t header_name_id_any_case(std::string_view name);

// The name of an id from header_name_id(); empty for 0 and unknown ids.
std::string_view header_name(std::uint8_t id);

// All names; index is the id, element 0 is empty.
std::span<const std::string_view> header_names();

enum class Method : std::uint8_t {
  kOther = 0,
  kGet,
  kHead,
  kPost,
  kPut,
  kDelete,
  kOptions,
  kPatch,
  kConnect,
  kTrace,
};
inline constexpr std::size_t kMethodCount = 10;

Method method_id(std::string_view name);      // case-sensitive, RFC 9110 section 9.1
std::string_view method_name(Method method);  // empty for kOther

// RFC 9110 section 9.2.2.
constexpr bool is_idempotent(Method method) {
  return method == Method::kGet || method == Method::kHead || method == Method::kPut ||
         method == Method::kDelete || method == Method::kOptions || method == Method::kTrace;
}

// Ids that code asks for by name; they are checked against the table at compile time.
namespace field {
inline constexpr std::uint8_t kHost = 1, kUserAgent = 2, kAccept = 3, kAcceptEncoding = 4,
                              kAcceptLanguage = 5, kConnection = 6, kContentLength = 7,
                              kContentType = 8, kCookie = 9, kTransferEncoding = 10, kExpect = 11,
                              kUpgrade = 12, kDate = 13, kServer = 14, kKeepAlive = 15, kTe = 16,
                              kTrailer = 17, kProxyConnection = 18, kXForwardedFor = 19,
                              kXForwardedProto = 20, kXForwardedHost = 21, kXForwardedPort = 22,
                              kForwarded = 23, kXRequestId = 24, kReferer = 25,
                              kProxyAuthenticate = 26, kSetCookie = 27;
}

}  // namespace saola::ipc
