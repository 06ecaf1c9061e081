#include "common/ipc/header_names.h"

#include <array>
#include <cstring>

namespace saola::ipc {
namespace {

constexpr std::array<std::string_view, 97> kNames = {"",
                                                     "host",
                                                     "user-agent",
                                                     "accept",
                                                     "accept-encoding",
                                                     "accept-language",
                                                     "connection",
                                                     "content-length",
                                                     "content-type",
                                                     "cookie",
                                                     "transfer-encoding",
                                                     "expect",
                                                     "upgrade",
                                                     "date",
                                                     "server",
                                                     "keep-alive",
                                                     "te",
                                                     "trailer",
                                                     "proxy-connection",
                                                     "x-forwarded-for",
                                                     "x-forwarded-proto",
                                                     "x-forwarded-host",
                                                     "x-forwarded-port",
                                                     "forwarded",
                                                     "x-request-id",
                                                     "referer",
                                                     "proxy-authenticate",
                                                     "set-cookie",
                                                     "authorization",
                                                     "origin",
                                                     "cache-control",
                                                     "pragma",
                                                     "if-none-match",
                                                     "if-modified-since",
                                                     "if-match",
                                                     "if-unmodified-since",
                                                     "if-range",
                                                     "range",
                                                     "accept-charset",
                                                     "dnt",
                                                     "sec-fetch-dest",
                                                     "sec-fetch-mode",
                                                     "sec-fetch-site",
                                                     "sec-fetch-user",
                                                     "sec-ch-ua",
                                                     "sec-ch-ua-mobile",
                                                     "sec-ch-ua-platform",
                                                     "upgrade-insecure-requests",
                                                     "x-requested-with",
                                                     "x-csrftoken",
                                                     "x-csrf-token",
                                                     "x-real-ip",
                                                     "x-forwarded-ssl",
                                                     "traceparent",
                                                     "tracestate",
                                                     "baggage",
                                                     "priority",
                                                     "via",
                                                     "from",
                                                     "max-forwards",
                                                     "content-encoding",
                                                     "content-language",
                                                     "content-location",
                                                     "content-disposition",
                                                     "content-range",
                                                     "content-security-policy",
                                                     "etag",
                                                     "last-modified",
                                                     "expires",
                                                     "age",
                                                     "allow",
                                                     "location",
                                                     "vary",
                                                     "www-authenticate",
                                                     "retry-after",
                                                     "accept-ranges",
                                                     "access-control-allow-origin",
                                                     "access-control-allow-credentials",
                                                     "access-control-allow-headers",
                                                     "access-control-allow-methods",
                                                     "access-control-expose-headers",
                                                     "access-control-max-age",
                                                     "access-control-request-headers",
                                                     "access-control-request-method",
                                                     "strict-transport-security",
                                                     "x-content-type-options",
                                                     "x-frame-options",
                                                     "x-xss-protection",
                                                     "referrer-policy",
                                                     "cross-origin-opener-policy",
                                                     "permissions-policy",
                                                     "link",
                                                     "alt-svc",
                                                     "x-process-time",
                                                     "x-accel-buffering",
                                                     "sec-websocket-key",
                                                     "sec-websocket-version"};

static_assert(kNames[field::kHost] == "host" && kNames[field::kConnection] == "connection");
static_assert(kNames[field::kContentLength] == "content-length");
static_assert(kNames[field::kContentType] == "content-type" && kNames[field::kCookie] == "cookie");
static_assert(kNames[field::kTransferEncoding] == "transfer-encoding");
static_assert(kNames[field::kExpect] == "expect" && kNames[field::kUpgrade] == "upgrade");
static_assert(kNames[field::kDate] == "date" && kNames[field::kServer] == "server");
static_assert(kNames[field::kKeepAlive] == "keep-alive" && kNames[field::kTe] == "te");
static_assert(kNames[field::kTrailer] == "trailer");
static_assert(kNames[field::kProxyConnection] == "proxy-connection");
static_assert(kNames[field::kXForwardedFor] == "x-forwarded-for");
static_assert(kNames[field::kXForwardedPort] == "x-forwarded-port");
static_assert(kNames[field::kForwarded] == "forwarded");
static_assert(kNames[field::kXRequestId] == "x-request-id");
static_assert(kNames[field::kReferer] == "referer" && kNames[field::kSetCookie] == "set-cookie");
static_assert(kNames[field::kProxyAuthenticate] == "proxy-authenticate");

// A perfect hash: length and four bytes, with factors found by search so that no two names share a
// bucket. A new name that collides does not compile: search for new factors then.
constexpr std::size_t kBuckets = 512;
constexpr std::size_t hash(std::string_view name) {
  // | 0x20: upper case falls together with lower case, what names are made of stays apart.
  const auto at = [&](std::size_t i) { return static_cast<unsigned char>(name[i]) | 0x20U; };
  const std::size_t size = name.size();
  return (size * 26 + at(0) * 227 + at(size - 1) * 218 + at(size / 2) * 33 +
          at(size * 3 / 4) * 111) %
         kBuckets;
}
constexpr auto kTable = [] {
  std::array<std::uint8_t, kBuckets> table{};
  for (std::size_t id = 1; id < kNames.size(); ++id) {
    auto& bucket = table[hash(kNames[id])];
    if (bucket != 0) throw "two names share a bucket";  // never at run time: constexpr
    bucket = static_cast<std::uint8_t>(id);
  }
  return table;
}();

// True if `Word` bytes of `text` are those of `name`, which is in lower case, but for the case of
// letters: only in a letter of the name (bit 0x40) may bit 0x20 differ.
template <class Word>
bool same_word(const char* text, const char* name) {
  Word a = 0, b = 0;
  std::memcpy(&a, text, sizeof a);
  std::memcpy(&b, name, sizeof b);
  const Word letters = static_cast<Word>(b & static_cast<Word>(0x4040404040404040)) >> 1;
  return ((a ^ b) & ~letters) == 0;
}

bool same_name(std::string_view text, std::string_view name) {
  const std::size_t size = name.size();
  if (text.size() != size) return false;
  const auto all = [&]<class Word>(Word) {
    std::size_t at = 0;
    for (; at + sizeof(Word) <= size; at += sizeof(Word)) {
      if (!same_word<Word>(text.data() + at, name.data() + at)) return false;
    }
    const std::size_t last = size - sizeof(Word);  // overlaps what has been compared
    return at == size || same_word<Word>(text.data() + last, name.data() + last);
  };
  if (size >= 8) return all(std::uint64_t{});
  if (size >= 4) return all(std::uint32_t{});
  for (std::size_t i = 0; i < size; ++i) {
    if (!same_word<std::uint8_t>(text.data() + i, name.data() + i)) return false;
  }
  return true;
}

constexpr std::array<std::string_view, kMethodCount> kMethods = {
    "", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE"};

}  // namespace

std::uint8_t header_name_id(std::string_view name) {
  if (name.empty()) return 0;
  const std::uint8_t id = kTable[hash(name)];
  return kNames[id] == name ? id : 0;
}

std::uint8_t header_name_id_any_case(std::string_view name) {
  if (name.empty()) return 0;
  const std::uint8_t id = kTable[hash(name)];
  return id != 0 && same_name(name, kNames[id]) ? id : 0;
}

std::string_view header_name(std::uint8_t id) { return id < kNames.size() ? kNames[id] : ""; }

std::span<const std::string_view> header_names() { return kNames; }

Method method_id(std::string_view name) {
  for (std::size_t i = 1; i < kMethods.size(); ++i) {
    if (kMethods[i] == name) return static_cast<Method>(i);
  }
  return Method::kOther;
}

std::string_view method_name(Method method) { return kMethods[static_cast<std::size_t>(method)]; }

}  // namespace saola::ipc
