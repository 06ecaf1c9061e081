#include "proxy/forwarded.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "proxy/forwarded_header.h"
#include "proxy/http1/syntax.h"

namespace saola::proxy {

namespace field = ipc::field;

namespace {

using Bytes = std::array<std::uint8_t, 16>;
constexpr std::array<std::uint8_t, 12> kMappedPrefix = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

struct Address {
  Bytes bytes;
  bool is_ipv4;  // written as such
};

// IPv4 or IPv6 in text; IPv4 becomes its mapped form.
std::optional<Address> parse_address(std::string_view text) {
  char terminated[INET6_ADDRSTRLEN + 1] = {};
  if (text.empty() || text.size() >= sizeof terminated) return std::nullopt;
  if (text.find('\0') != std::string_view::npos) return std::nullopt;
  text.copy(terminated, text.size());
  Address address{};
  if (::inet_pton(AF_INET6, terminated, address.bytes.data()) == 1) return address;
  std::copy(kMappedPrefix.begin(), kMappedPrefix.end(), address.bytes.begin());
  address.is_ipv4 = true;
  if (::inet_pton(AF_INET, terminated, address.bytes.data() + 12) == 1) return address;
  return std::nullopt;
}

std::string to_text(const Bytes& bytes) {
  char text[INET6_ADDRSTRLEN] = {};
  if (std::equal(kMappedPrefix.begin(), kMappedPrefix.end(), bytes.begin())) {
    ::inet_ntop(AF_INET, bytes.data() + 12, text, sizeof text);
  } else {
    ::inet_ntop(AF_INET6, bytes.data(), text, sizeof text);
  }
  return text;
}

void clear_host_bits(Bytes& bytes, int prefix) {
  for (int bit = prefix; bit < 128; ++bit) {
    auto& byte = bytes[static_cast<std::size_t>(bit / 8)];
    byte = static_cast<std::uint8_t>(byte & ~(0x80U >> (bit % 8)));
  }
}

bool in_network(const Bytes& address, const Bytes& network, int prefix) {
  const auto whole = static_cast<std::size_t>(prefix / 8);
  if (!std::equal(address.begin(), address.begin() + whole, network.begin())) return false;
  const int rest = prefix % 8;
  return rest == 0 || ((address[whole] ^ network[whole]) >> (8 - rest)) == 0;
}

std::optional<int> decimal(std::string_view text, int max) {
  int value = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failure != std::errc() || end != text.data() + text.size()) return std::nullopt;
  if (text.front() == '-' || value > max) return std::nullopt;
  return value;
}

struct Node {
  std::string host;
  std::uint16_t port = 0;
};

// "192.0.2.1", "192.0.2.1:80", "2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:80".
std::optional<Node> parse_node(std::string_view text) {
  std::string_view host = text;
  std::string_view port;
  if (text.starts_with('[')) {
    const auto close = text.find(']');
    if (close == std::string_view::npos) return std::nullopt;
    host = text.substr(1, close - 1);
    port = text.substr(close + 1);
    if (host.find(':') == std::string_view::npos) return std::nullopt;
  } else if (const auto colon = text.find(':');
             colon != std::string_view::npos && colon == text.rfind(':')) {
    host = text.substr(0, colon);
    port = text.substr(colon);
  }
  const auto address = parse_address(host);
  if (!address) return std::nullopt;
  Node node{to_text(address->bytes), 0};
  if (!port.empty()) {
    const auto number =
        port.size() > 1 && port.front() == ':' ? decimal(port.substr(1), 0xffff) : std::nullopt;
    if (!number) return std::nullopt;
    node.port = static_cast<std::uint16_t>(*number);
  }
  return node;
}

std::optional<ipc::Scheme> parse_scheme(std::string_view text) {
  using http1::equals_ignoring_case;
  if (equals_ignoring_case(text, "https") || equals_ignoring_case(text, "wss")) {
    return ipc::Scheme::kHttps;
  }
  if (equals_ignoring_case(text, "http") || equals_ignoring_case(text, "ws")) {
    return ipc::Scheme::kHttp;
  }
  return std::nullopt;
}

// The elements of all fields with that name, in order.
std::vector<std::string_view> list_elements(const std::vector<ipc::Field>& fields,
                                            std::uint8_t name_id) {
  std::vector<std::string_view> elements;
  for (const auto& f : fields) {
    if (f.name_id != name_id) continue;
    std::string_view value = f.value;
    while (const auto element = http1::next_list_element(value)) elements.push_back(*element);
  }
  return elements;
}

// The element that goes with hop `hop` (0: the nearest proxy's). Proxies append to X-Forwarded-For
// but many of them replace the other fields: then there is one, or a number that matches nothing,
// and the nearest proxy's word counts.
std::string_view element_of_hop(const std::vector<std::string_view>& elements, std::size_t hops,
                                std::size_t hop) {
  if (elements.empty()) return {};
  return elements.size() == hops ? elements[elements.size() - 1 - hop] : elements.back();
}

ClientInfo resolve_x_forwarded(const TrustedNetworks& trusted, const ClientInfo& direct,
                               const std::vector<ipc::Field>& fields) {
  ClientInfo client = direct;
  const auto addresses = list_elements(fields, field::kXForwardedFor);
  std::size_t hop = 0;
  for (; hop < addresses.size(); ++hop) {
    auto node = parse_node(addresses[addresses.size() - 1 - hop]);
    if (!node) {
      // Nobody knows what an unreadable entry hides.
      client.host = direct.host;
      client.port = direct.port;
      hop = 0;
      break;
    }
    client.host = std::move(node->host);
    client.port = node->port;
    if (hop + 1 == addresses.size() || !trusted.contains(client.host)) break;
  }
  const auto schemes = list_elements(fields, field::kXForwardedProto);
  if (const auto scheme = parse_scheme(element_of_hop(schemes, addresses.size(), hop))) {
    client.scheme = *scheme;
  }
  const auto hosts = list_elements(fields, field::kXForwardedHost);
  const auto host = element_of_hop(hosts, addresses.size(), hop);
  if (http1::is_valid_authority(host)) client.authority = std::string(host);
  return client;
}

ClientInfo resolve_rfc7239(const TrustedNetworks& trusted, const ClientInfo& direct,
                           const std::vector<ipc::Field>& fields) {
  std::vector<ForwardedElement> elements;
  for (const auto& f : fields) {
    if (f.name_id == field::kForwarded && !parse_forwarded(f.value, elements)) return direct;
  }
  ClientInfo client = direct;
  for (auto element = elements.rbegin(); element != elements.rend(); ++element) {
    if (const auto scheme = parse_scheme(element->proto)) client.scheme = *scheme;
    if (http1::is_valid_authority(element->host)) client.authority = element->host;
    // "unknown", "_hidden" or nothing: the chain ends at the proxy that wrote it.
    auto node = parse_node(element->node);
    if (!node) break;
    client.host = std::move(node->host);
    client.port = node->port;
    if (!trusted.contains(client.host)) break;
  }
  return client;
}

}  // namespace

Result<TrustedNetworks> TrustedNetworks::parse(const std::vector<std::string>& networks) {
  TrustedNetworks trusted;
  for (const auto& text : networks) {
    if (text == "*") {
      trusted.all_ = true;
      continue;
    }
    if (text == "unix") {
      trusted.unix_ = true;
      continue;
    }
    const auto slash = text.find('/');
    const auto address = parse_address(std::string_view(text).substr(0, slash));
    if (!address) return fail("'" + text + "' is no address, network, \"unix\" or \"*\"");
    int prefix = 128;
    if (slash != std::string::npos) {
      const auto bits = std::string_view(text).substr(slash + 1);
      const int offset = address->is_ipv4 ? 96 : 0;
      const auto given = bits.empty() ? std::nullopt : decimal(bits, 128 - offset);
      if (!given) return fail("'" + text + "' has an invalid prefix length");
      prefix = offset + *given;
    }
    Network network{address->bytes, prefix};
    clear_host_bits(network.bytes, prefix);
    if (network.bytes != address->bytes) {
      return fail("'" + text + "' has bits set behind its prefix: the network is " +
                  to_text(network.bytes) + text.substr(slash));
    }
    trusted.networks_.push_back(network);
  }
  return trusted;
}

bool TrustedNetworks::contains(std::string_view address) const {
  if (all_) return true;
  if (address.empty()) return unix_;
  const auto parsed = parse_address(address);
  if (!parsed) return false;
  return std::any_of(networks_.begin(), networks_.end(), [&](const Network& network) {
    return in_network(parsed->bytes, network.bytes, network.prefix);
  });
}

bool TrustedNetworks::empty() const { return networks_.empty() && !unix_ && !all_; }

ClientInfo resolve_client(config::Forwarded source, const TrustedNetworks& trusted,
                          const ClientInfo& direct, const std::vector<ipc::Field>& fields) {
  if (!trusted.contains(direct.host)) return direct;
  switch (source) {
    case config::Forwarded::kOff:
    case config::Forwarded::kProxyProtocol:  // of the connection, not of a request
      return direct;
    case config::Forwarded::kXForwarded:
      return resolve_x_forwarded(trusted, direct, fields);
    case config::Forwarded::kRfc7239:
      return resolve_rfc7239(trusted, direct, fields);
  }
  SAOLA_UNREACHABLE();
}

bool is_stripped_forwarding_field(config::Forwarded source, bool peer_trusted, std::uint8_t name_id,
                                  std::string_view name) {
  if (name_id == field::kForwarded) {
    return !(source == config::Forwarded::kRfc7239 && peer_trusted);
  }
  if (!name.starts_with("x-")) return false;
  if (!name.starts_with("x-forwarded-") && name != "x-real-ip") return false;
  return !(source == config::Forwarded::kXForwarded && peer_trusted);
}

}  // namespace saola::proxy
