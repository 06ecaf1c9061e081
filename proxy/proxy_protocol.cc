#include "proxy/proxy_protocol.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

namespace saola::proxy {
namespace {

using Parsed = Result<std::optional<ProxyHeader>>;

constexpr std::string_view kSignature2("\r\n\r\n\0\r\nQUIT\n", 12);
constexpr std::string_view kSignature1 = "PROXY ";
constexpr std::size_t kMaxLine1 = 107;  // with its CRLF, section 2.1
constexpr std::size_t kFixed2 = 16;
constexpr std::size_t kUnixPath = 108;
constexpr std::size_t kMaxTlvs = 4096;

// True while `input` may still become, or is, something that starts with `signature`.
bool may_start_with(std::string_view input, std::string_view signature) {
  const auto size = std::min(input.size(), signature.size());
  return input.substr(0, size) == signature.substr(0, size);
}

std::string numeric(int family, const void* address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  ::inet_ntop(family, address, text.data(), text.size());
  return text.data();
}

// An address as the specification writes it, in its canonical form; nothing if it is none.
std::optional<std::string> canonical_address(int family, std::string_view text) {
  std::array<unsigned char, sizeof(in6_addr)> bytes{};
  const std::string terminated(text);
  if (terminated.find('\0') != std::string::npos) return std::nullopt;
  if (::inet_pton(family, terminated.c_str(), bytes.data()) != 1) return std::nullopt;
  return numeric(family, bytes.data());
}

// 0 to 65535 in decimal, without leading zeros.
std::optional<std::uint16_t> port_number(std::string_view text) {
  std::uint16_t port = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (failure != std::errc() || end != text.data() + text.size()) return std::nullopt;
  if (text.size() > 1 && text.front() == '0') return std::nullopt;
  return port;
}

// PROXY SP family SP source SP destination SP source port SP destination port CRLF
Parsed parse_line(std::string_view line, std::size_t size) {
  ProxyHeader header;
  header.size = size;
  line.remove_prefix(kSignature1.size());
  if (line == "UNKNOWN" || line.starts_with("UNKNOWN ")) {
    header.local = true;
    return std::optional(std::move(header));
  }
  std::array<std::string_view, 5> parts;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const auto space = line.find(' ');
    const bool last = i + 1 == parts.size();
    if (last != (space == std::string_view::npos)) return fail("PROXY line without five parts");
    parts[i] = line.substr(0, space);
    line.remove_prefix(last ? line.size() : space + 1);
  }
  if (parts[0] != "TCP4" && parts[0] != "TCP6") return fail("PROXY line of an unknown family");
  const int family = parts[0] == "TCP4" ? AF_INET : AF_INET6;
  auto source = canonical_address(family, parts[1]);
  auto destination = canonical_address(family, parts[2]);
  const auto source_port = port_number(parts[3]);
  const auto destination_port = port_number(parts[4]);
  if (!source || !destination || !source_port || !destination_port) {
    return fail("PROXY line with an invalid address or port");
  }
  header.client_host = std::move(*source);
  header.server_host = std::move(*destination);
  header.client_port = *source_port;
  header.server_port = *destination_port;
  return std::optional(std::move(header));
}

Parsed parse_version1(std::string_view input) {
  const auto line = input.substr(0, kMaxLine1);
  const auto end = line.find('\n');
  if (end == std::string_view::npos) {
    if (input.size() >= kMaxLine1) return fail("PROXY line too long");
    return std::optional<ProxyHeader>();
  }
  if (line[end - 1] != '\r') return fail("PROXY line without CR");
  return parse_line(line.substr(0, end - 1), end + 1);
}

std::uint16_t big_endian16(std::string_view bytes) {
  return static_cast<std::uint16_t>(static_cast<unsigned char>(bytes[0]) << 8 |
                                    static_cast<unsigned char>(bytes[1]));
}

void read_inet(ProxyHeader& header, int family, std::string_view addresses, std::size_t size) {
  header.client_host = numeric(family, addresses.data());
  header.server_host = numeric(family, addresses.data() + size);
  header.client_port = big_endian16(addresses.substr(2 * size));
  header.server_port = big_endian16(addresses.substr(2 * size + 2));
}

// Type-length-value records to the last byte; their content is not used.
bool are_whole_tlvs(std::string_view bytes) {
  while (!bytes.empty()) {
    if (bytes.size() < 3) return false;
    const std::size_t length = big_endian16(bytes.substr(1));
    if (bytes.size() - 3 < length) return false;
    bytes.remove_prefix(3 + length);
  }
  return true;
}

// Section 2.2: signature, version and command, family and protocol, length, addresses, TLVs.
Parsed parse_version2(std::string_view input) {
  if (input.size() < kFixed2) return std::optional<ProxyHeader>();
  const auto version_command = static_cast<unsigned char>(input[12]);
  const auto family_protocol = static_cast<unsigned char>(input[13]);
  const std::size_t length = big_endian16(input.substr(14));
  if (version_command != 0x20 && version_command != 0x21) {
    return fail("PROXY header of an unknown version or command");
  }
  const bool local = version_command == 0x20;

  std::size_t address_size = 0;
  switch (family_protocol) {
    case 0x00:  // unspecified
      break;
    case 0x11:  // TCP over IPv4
      address_size = 2 * sizeof(in_addr) + 4;
      break;
    case 0x21:  // TCP over IPv6
      address_size = 2 * sizeof(in6_addr) + 4;
      break;
    case 0x31:  // Unix stream
      address_size = 2 * kUnixPath;
      break;
    default:
      // LOCAL says to ignore the family, whatever it is.
      if (!local) return fail("PROXY header of an unknown family or protocol");
  }
  if (!local && length < address_size) return fail("PROXY header shorter than its addresses");
  if (length > 2 * kUnixPath + kMaxTlvs) return fail("PROXY header too long");
  if (input.size() < kFixed2 + length) return std::optional<ProxyHeader>();

  ProxyHeader header;
  header.size = kFixed2 + length;
  const auto block = input.substr(kFixed2, length);
  // What follows unspecified addresses is to be skipped, TLVs or not.
  if (local || family_protocol == 0x00) {
    header.local = true;
    return std::optional(std::move(header));
  }
  if (!are_whole_tlvs(block.substr(address_size))) return fail("PROXY header with broken TLVs");
  if (family_protocol == 0x11) read_inet(header, AF_INET, block, sizeof(in_addr));
  if (family_protocol == 0x21) read_inet(header, AF_INET6, block, sizeof(in6_addr));
  // Unix addresses: hosts stay empty, as for any peer on a Unix socket.
  return std::optional(std::move(header));
}

}  // namespace

Result<std::optional<ProxyHeader>> parse_proxy_header(std::string_view input) {
  if (may_start_with(input, kSignature1)) {
    if (input.size() < kSignature1.size()) return std::optional<ProxyHeader>();
    return parse_version1(input);
  }
  if (may_start_with(input, kSignature2)) {
    if (input.size() < kSignature2.size()) return std::optional<ProxyHeader>();
    return parse_version2(input);
  }
  return fail("not a PROXY header");
}

}  // namespace saola::proxy
