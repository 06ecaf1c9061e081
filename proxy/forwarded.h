// Who the client is when requests come through trusted proxies. Pure.
//
// One source per listener (config::Forwarded). Information is believed only from a peer in
// `trusted`, walked from the right: the client is the last address that is not itself trusted. All
// forwarding fields other than the configured source's are stripped by the edge, and all of them
// from untrusted peers.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/config/config.h"
#include "common/core/result.h"
#include "common/ipc/messages.h"

namespace saola::proxy {

// A set of networks: "10.0.0.0/8", "::1", "unix" (peers on Unix sockets), "*" (everyone).
class TrustedNetworks {
 public:
  static Result<TrustedNetworks> parse(const std::vector<std::string>& networks);
  // `address` is numeric; empty means a Unix socket. IPv4-mapped IPv6 counts as IPv4.
  bool contains(std::string_view address) const;
  bool empty() const;

 private:
  struct Network {
    std::array<std::uint8_t, 16> bytes;
    int prefix;  // bits, of 128 (IPv4 mapped)
  };
  std::vector<Network> networks_;
  bool unix_ = false;
  bool all_ = false;
};

struct ClientInfo {
  std::string host;  // numeric address; empty: Unix socket
  std::uint16_t port = 0;
  ipc::Scheme scheme = ipc::Scheme::kHttp;
  std::optional<std::string> authority;  // X-Forwarded-Host / Forwarded host=, if trusted
};

// `direct` is what the socket says. Malformed information leaves `direct` as it is.
ClientInfo resolve_client(config::Forwarded source, const TrustedNetworks& trusted,
                          const ClientInfo& direct, const std::vector<ipc::Field>& fields);

// True for fields that may not reach the app from this peer (see above).
bool is_stripped_forwarding_field(config::Forwarded source, bool peer_trusted, std::uint8_t name_id,
                                  std::string_view name);

}  // namespace saola::proxy
