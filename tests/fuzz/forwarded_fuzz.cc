// Forwarding fields: whatever a trusted proxy passes on, the client is an address and the authority
// is one that Host could have.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/core/check.h"
#include "proxy/forwarded.h"
#include "proxy/http1/syntax.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace saola;
  using namespace saola::proxy;
  // Lines: values of X-Forwarded-For, -Proto, -Host, Forwarded and a network, again and again.
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  constexpr std::uint8_t kNames[] = {ipc::field::kXForwardedFor, ipc::field::kXForwardedProto,
                                     ipc::field::kXForwardedHost, ipc::field::kForwarded};
  std::vector<ipc::Field> fields;
  for (std::size_t i = 0; !rest.empty(); ++i) {
    const auto end = std::min(rest.find('\n'), rest.size());
    const auto line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (i % 5 < 4) {
      fields.push_back({kNames[i % 5], ipc::header_name(kNames[i % 5]), line});
      continue;
    }
    const std::string network(line);
    const auto parsed = TrustedNetworks::parse({network});
    if (parsed && network != "unix") {
      SAOLA_CHECK(network == "*" || parsed->contains(network.substr(0, network.find('/'))));
    }
    SAOLA_CHECK(parsed || !parsed.error().message.empty());
  }
  const auto trusted = TrustedNetworks::parse({"10.0.0.0/8", "fd00::/8"}).value();
  for (const auto source : {config::Forwarded::kXForwarded, config::Forwarded::kRfc7239}) {
    const ClientInfo direct{"10.0.0.1", 1, ipc::Scheme::kHttp, std::nullopt};
    const auto client = resolve_client(source, trusted, direct, fields);
    SAOLA_CHECK(TrustedNetworks::parse({client.host}).has_value());
    SAOLA_CHECK(client.host != "unix" && client.host != "*");
    SAOLA_CHECK(!client.authority || http1::is_valid_authority(*client.authority));
    const ClientInfo stranger{"192.0.2.1", 1, ipc::Scheme::kHttp, std::nullopt};
    SAOLA_CHECK(resolve_client(source, trusted, stranger, fields).host == stranger.host);
  }
  return 0;
}
