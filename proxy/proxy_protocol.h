// PROXY protocol v1 and v2 headers (the HAProxy specification of 2020). No I/O.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/core/result.h"

namespace saola::proxy {

struct ProxyHeader {
  bool local = false;  // LOCAL or UNKNOWN: the connection's own addresses hold
  std::string client_host;
  std::uint16_t client_port = 0;
  std::string server_host;
  std::uint16_t server_port = 0;
  std::size_t size = 0;  // bytes of the header
};

// `input` starts at the connection's first byte. Nothing: more bytes are needed (at most 536 of v2
// without TLVs over 4 KiB are accepted). An error: not a PROXY header; close.
Result<std::optional<ProxyHeader>> parse_proxy_header(std::string_view input);

}  // namespace saola::proxy
