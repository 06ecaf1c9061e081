// Addresses to listen on, and networks, as they are written in a configuration. Syntax only: no
// name is looked up and no file is opened.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "common/core/result.h"

namespace saola::config {

struct Address {
  enum class Kind : std::uint8_t { kInet, kUnix, kFd, kSystemd };
  Kind kind = Kind::kInet;
  std::string host;        // kInet: IPv4, IPv6 without brackets, or a name
  bool is_ipv6 = false;    // kInet: `host` is numeric IPv6
  std::uint16_t port = 0;  // kInet; 0: the system chooses
  std::string path;        // kUnix, as written
  int fd = -1;             // kFd: an inherited, listening descriptor
  std::string name;        // kSystemd: FileDescriptorName= of the socket unit

  bool operator==(const Address&) const = default;
};

// "127.0.0.1:8000", "[::1]:8000", "name:8000", ":8000" and "*:8000" (0.0.0.0, every IPv4 address),
// "unix:PATH", "fd:N" or "fd://N", "systemd:NAME" (activation.h). The error says what is accepted.
Result<Address> parse_address(std::string_view text);

// Canonical, parse_address() reads it back: numeric addresses in their shortest form.
std::string to_string(const Address& address);

// "10.0.0.0/8", "192.0.2.1", "2001:db8::/32", "unix" (peers on Unix sockets) or "*" (everyone).
Result<void> check_network(std::string_view text);

}  // namespace saola::config
