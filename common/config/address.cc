#include "common/config/address.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "common/config/shown_text.h"

namespace saola::config {
namespace {

constexpr std::string_view kAccepted =
    "write 127.0.0.1:8000, [::1]:8000, :8000, unix:PATH, fd:N or systemd:NAME";

Unexpected<Error> bad_address(std::string_view text, std::string_view why) {
  return fail(fmt::format("{} {}; {}", shown(text), why, kAccepted));
}

// A decimal number without sign, up to `most`.
std::optional<int> number_up_to(int most, std::string_view text) {
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  if (text.front() == '-' || number > most) return std::nullopt;
  return number;
}

// The shortest form of a numeric address, or nothing. A scope (fe80::1%eth0) stays as it is.
std::optional<std::string> numeric(int family, std::string_view text) {
  const std::string address(text.substr(0, text.find('%')));
  const std::string_view scope = text.substr(address.size());
  std::array<unsigned char, 16> bytes{};
  std::array<char, INET6_ADDRSTRLEN> out{};
  if (inet_pton(family, address.c_str(), bytes.data()) != 1) return std::nullopt;
  if (inet_ntop(family, bytes.data(), out.data(), out.size()) == nullptr) return std::nullopt;
  if (!scope.empty() && (family != AF_INET6 || scope.size() == 1)) return std::nullopt;
  return std::string(out.data()) + std::string(scope);
}

bool is_host_name(std::string_view text) {
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_';
  };
  // What looks like a number is one that inet_pton refused: 127.0.0.256, 1.2.3.
  return !text.empty() && text.size() <= 253 && std::all_of(text.begin(), text.end(), fits) &&
         text.find_first_not_of("0123456789.") != std::string_view::npos;
}

Result<Address> parse_inet(std::string_view text) {
  Address address;
  std::string_view port;
  if (text.starts_with('[')) {
    const std::size_t close = text.find("]:");
    if (close == std::string_view::npos) return bad_address(text, "is not an address with a port");
    const auto host = numeric(AF_INET6, text.substr(1, close - 1));
    if (!host) return bad_address(text, "has no IPv6 address in its brackets");
    address.host = *host;
    address.is_ipv6 = true;
    port = text.substr(close + 2);
  } else {
    const std::size_t colon = text.rfind(':');
    if (colon == std::string_view::npos) return bad_address(text, "has no port");
    const std::string_view host = text.substr(0, colon);
    port = text.substr(colon + 1);
    if (host.find(':') != std::string_view::npos) {
      return bad_address(text, "is not an address (IPv6 goes in brackets)");
    }
    if (host.empty() || host == "*") {
      address.host = "0.0.0.0";
    } else if (const auto v4 = numeric(AF_INET, host)) {
      address.host = *v4;
    } else if (is_host_name(host)) {
      address.host = host;
    } else {
      return bad_address(text, "is not an address");
    }
  }
  const auto number = number_up_to(65535, port);
  if (!number) return bad_address(text, "has no port from 0 to 65535");
  address.port = static_cast<std::uint16_t>(*number);
  return address;
}

}  // namespace

Result<Address> parse_address(std::string_view text) {
  Address address;
  if (text.starts_with("unix:")) {
    address.kind = Address::Kind::kUnix;
    address.path = text.substr(5);
    if (address.path.empty()) return bad_address(text, "has no path");
    return address;
  }
  if (text.starts_with("systemd:")) {
    address.kind = Address::Kind::kSystemd;
    address.name = text.substr(8);
    // systemd.socket(5): printable, at most 255, no ':'.
    const bool fits = address.name.size() <= 255 && address.name.find(':') == std::string::npos;
    if (address.name.empty() || !fits) return bad_address(text, "has no name of a socket");
    return address;
  }
  for (const std::string_view prefix : {"fd://", "fd:"}) {
    if (!text.starts_with(prefix)) continue;
    const auto fd = number_up_to(1 << 20, text.substr(prefix.size()));
    if (!fd) return bad_address(text, "has no descriptor number");
    address.kind = Address::Kind::kFd;
    address.fd = *fd;
    return address;
  }
  return parse_inet(text);
}

std::string to_string(const Address& address) {
  switch (address.kind) {
    case Address::Kind::kInet:
      return address.is_ipv6 ? fmt::format("[{}]:{}", address.host, address.port)
                             : fmt::format("{}:{}", address.host, address.port);
    case Address::Kind::kUnix:
      return "unix:" + address.path;
    case Address::Kind::kFd:
      return fmt::format("fd:{}", address.fd);
    case Address::Kind::kSystemd:
      return "systemd:" + address.name;
  }
  SAOLA_UNREACHABLE();
}

Result<void> check_network(std::string_view text) {
  if (text == "unix" || text == "*") return {};
  const std::size_t slash = text.find('/');
  const std::string_view host = text.substr(0, slash);
  const bool v4 = numeric(AF_INET, host).has_value();
  const bool v6 = host.find('%') == std::string_view::npos && numeric(AF_INET6, host).has_value();
  const bool whole = slash == std::string_view::npos;
  if ((!v4 && !v6) || (!whole && !number_up_to(v4 ? 32 : 128, text.substr(slash + 1)))) {
    return fail(fmt::format(
        "{} is not a network; write 10.0.0.0/8, 192.0.2.1, 2001:db8::/32, \"unix\" or \"*\"",
        shown(text)));
  }
  return {};
}

}  // namespace saola::config
