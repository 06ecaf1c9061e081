#include "common/ipc/header_names.h"

#include <array>

namespace saola::ipc {
namespace {

constexpr std::array<std::string_view, 97> kNames = {
    "", "host", "user-agent", "accept", "accept-encoding", "accept-language", "connection",
    "content-length", "content-type", "cookie", "transfer-encoding", "expect", "upgrade", "date",
    "server", "keep-alive", "te", "trailer", "proxy-connection", "x-forwarded-for",
    "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port", "forwarded", "x-request-id",
    "referer", "proxy-authenticate", "set-cookie", "authorization", "origin", "cache-control",
    "pragma", "if-none-match", "if-modified-since", "if-match", "if-unmodified-since", "if-range",
    "range", "accept-charset", "dnt", "sec-fetch-dest", "sec-fetch-mode", "sec-fetch-site",
    "sec-fetch-user", "sec-ch-ua", "sec-ch-ua-mobile", "sec-ch-ua-platform",
    "upgrade-insecure-requests", "x-requested-with", "x-csrftoken", "x-csrf-token", "x-real-ip",
    "x-forwarded-ssl", "traceparent", "tracestate", "baggage", "priority", "via", "from",
    "max-forwards", "content-encoding", "content-language", "content-location",
    "content-disposition", "content-range", "content-security-policy", "etag", "last-modified",
    "expires", "age", "allow", "location", "vary", "www-authenticate", "retry-after",
    "accept-ranges", "access-control-allow-origin", "access-control-allow-credentials",
    "access-control-allow-headers", "access-control-allow-methods", "access-control-expose-headers",
    "access-control-max-age", "access-control-request-headers", "access-control-request-method",
    "strict-transport-security", "x-content-type-options", "x-frame-options", "x-xss-protection",
    "referrer-policy", "cross-origin-opener-policy", "permissions-policy", "link", "alt-svc",
    "x-process-time", "x-accel-buffering", "sec-websocket-key", "sec-websocket-version"};

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

// A perfect-enough hash: length, first, middle and last byte into 512 buckets with linear probing.
constexpr std::size_t kBuckets = 512;
constexpr std::size_t hash(std::string_view name) {
  const auto at = [&](std::size_t i) { return static_cast<unsigned char>(name[i]); };
  return (name.size() * 37 + at(0) * 7 + at(name.size() - 1) * 131 + at(name.size() / 2) * 17) %
         kBuckets;
}
constexpr auto kTable = [] {
  std::array<std::uint8_t, kBuckets> table{};
  for (std::size_t id = 1; id < kNames.size(); ++id) {
    std::size_t bucket = hash(kNames[id]);
    while (table[bucket] != 0) bucket = (bucket + 1) % kBuckets;
    table[bucket] = static_cast<std::uint8_t>(id);
  }
  return table;
}();

constexpr std::array<std::string_view, kMethodCount> kMethods = {
    "", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE"};

}  // namespace

std::uint8_t header_name_id(std::string_view name) {
  if (name.empty()) return 0;
  for (std::size_t bucket = hash(name); kTable[bucket] != 0; bucket = (bucket + 1) % kBuckets) {
    if (kNames[kTable[bucket]] == name) return kTable[bucket];
  }
  return 0;
}

std::string_view header_name(std::uint8_t id) { return id < kNames.size() ? kNames[id] : ""; }

std::span<const std::string_view> header_names() { return kNames; }

Method method_id(std::string_view name) {
  for (std::size_t i = 1; i < kMethods.size(); ++i) {
    if (kMethods[i] == name) return static_cast<Method>(i);
  }
  return Method::kOther;
}

std::string_view method_name(Method method) {
  return kMethods[static_cast<std::size_t>(method)];
}

}  // namespace saola::ipc
