// PROXY headers: a verdict, once given, does not change with the bytes that follow.
#include <algorithm>
#include <cstdint>
#include <string_view>

#include "common/core/check.h"
#include "proxy/http1/syntax.h"
#include "proxy/proxy_protocol.h"

namespace saola::proxy {
namespace {

bool same(const ProxyHeader& a, const ProxyHeader& b) {
  return a.local == b.local && a.client_host == b.client_host && a.client_port == b.client_port &&
         a.server_host == b.server_host && a.server_port == b.server_port && a.size == b.size;
}

}  // namespace
}  // namespace saola::proxy

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace saola::proxy;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto whole = parse_proxy_header(bytes);
  if (whole && whole->has_value()) {
    const ProxyHeader& header = **whole;
    SAOLA_CHECK(header.size > 0 && header.size <= size);
    SAOLA_CHECK(header.client_host.find_first_not_of("0123456789abcdef.:") == std::string::npos);
    SAOLA_CHECK(header.server_host.find_first_not_of("0123456789abcdef.:") == std::string::npos);
  }
  for (std::size_t cut = 0; cut < std::min<std::size_t>(size, 600); ++cut) {
    const auto part = parse_proxy_header(bytes.substr(0, cut));
    if (!part) {
      SAOLA_CHECK(!whole);
    } else if (part->has_value()) {
      SAOLA_CHECK(whole && whole->has_value() && same(**part, **whole));
    } else if (whole && whole->has_value()) {
      SAOLA_CHECK(cut < (*whole)->size);
    }
  }
  return 0;
}
