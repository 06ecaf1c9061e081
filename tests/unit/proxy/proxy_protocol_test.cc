#include "proxy/proxy_protocol.h"

#include <gtest/gtest.h>

namespace saola::proxy {
namespace {

using namespace std::string_literals;

const std::string kSignature = "\r\n\r\n\0\r\nQUIT\n"s;

// A version 2 header with `addresses` and what follows them.
std::string binary(char command, char family, const std::string& block) {
  std::string bytes = kSignature + command + family;
  bytes += static_cast<char>(block.size() >> 8);
  bytes += static_cast<char>(block.size() & 0xff);
  return bytes + block;
}

const std::string kInet4 = "\xc0\x00\x02\x01\xc6\x33\x64\x02\xdc\x04\x01\xbb"s;
const std::string kInet6 = "\x20\x01\x0d\xb8"s + std::string(11, '\0') + "\x01" +
                           "\x20\x01\x0d\xb8"s + std::string(11, '\0') + "\x02" +
                           "\xdc\x04\x20\xfb"s;

ProxyHeader parsed(const std::string& bytes) {
  auto header = parse_proxy_header(bytes + "GET / HTTP/1.1\r\n");
  EXPECT_TRUE(header && header->has_value()) << bytes;
  if (!header || !header->has_value()) return {};
  EXPECT_EQ((*header)->size, bytes.size());
  // Every shorter prefix asks for more.
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    const auto prefix = parse_proxy_header(std::string_view(bytes).substr(0, size));
    EXPECT_TRUE(prefix && !prefix->has_value()) << size;
  }
  return **header;
}

TEST(ProxyProtocol, ReadsTheTextHeader) {
  auto header = parsed("PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n");
  EXPECT_FALSE(header.local);
  EXPECT_EQ(header.client_host, "192.0.2.1");
  EXPECT_EQ(header.client_port, 56324);
  EXPECT_EQ(header.server_host, "198.51.100.2");
  EXPECT_EQ(header.server_port, 443);

  header = parsed("PROXY TCP6 2001:DB8:0::1 ::1 0 65535\r\n");
  EXPECT_EQ(header.client_host, "2001:db8::1");
  EXPECT_EQ(header.server_port, 65535);
}

TEST(ProxyProtocol, LeavesTheConnectionsAddressesForUnknown) {
  EXPECT_TRUE(parsed("PROXY UNKNOWN\r\n").local);
  EXPECT_TRUE(parsed("PROXY UNKNOWN ffff::1 anything at all\r\n").local);
}

TEST(ProxyProtocol, ReadsTheBinaryHeader) {
  auto header = parsed(binary('\x21', '\x11', kInet4));
  EXPECT_FALSE(header.local);
  EXPECT_EQ(header.client_host, "192.0.2.1");
  EXPECT_EQ(header.client_port, 56324);
  EXPECT_EQ(header.server_host, "198.51.100.2");
  EXPECT_EQ(header.server_port, 443);

  header = parsed(binary('\x21', '\x21', kInet6));
  EXPECT_EQ(header.client_host, "2001:db8::1");
  EXPECT_EQ(header.server_host, "2001:db8::2");
  EXPECT_EQ(header.server_port, 8443);

  header = parsed(binary('\x21', '\x31', std::string(216, 'p')));
  EXPECT_FALSE(header.local);
  EXPECT_EQ(header.client_host, "");
}

TEST(ProxyProtocol, SkipsTlvs) {
  EXPECT_EQ(parsed(binary('\x21', '\x11', kInet4 + "\x02\x00\x03"s + "abc" + "\x04\x00\x00"s))
                .client_host,
            "192.0.2.1");
  EXPECT_EQ(parsed(binary('\x21', '\x11', kInet4 + "\x02\x0f\xfd"s + std::string(4093, 't'))).size,
            16 + 12 + 4096U);
}

TEST(ProxyProtocol, LeavesTheConnectionsAddressesForLocalAndUnspecified) {
  EXPECT_TRUE(parsed(binary('\x20', '\x00', "")).local);
  EXPECT_TRUE(parsed(binary('\x20', '\x11', kInet4)).local);
  EXPECT_TRUE(parsed(binary('\x20', '\x7f', "x")).local);
  EXPECT_TRUE(parsed(binary('\x21', '\x00', "junk")).local);
}

TEST(ProxyProtocol, RefusesWhatIsNoHeader) {
  const std::string refused[] = {
      "GET / HTTP/1.1\r\n",
      "P\r\n",
      "proxy TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
      "PROXYTCP4",
      "\x16\x03\x01",
      "PROXY \r\n",
      "PROXY TCP4\r\n",
      "PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
      "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n",
      "PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n",
      "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n",
      "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n",
      "PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n",
      "PROXY TCP4 192.0.2.1 192.0.2.2 -1 2\r\n",
      "PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n",
      "PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n",
      "PROXY TCP4 192.0.2.1 192.0.2.2 x 2\r\n",
      "PROXY TCP4 192.0.2.256 192.0.2.2 1 2\r\n",
      "PROXY TCP4 ::1 ::1 1 2\r\n",
      "PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
      "PROXY TCP4 192.0.2.1\0 192.0.2.2 1 2\r\n"s,
      "PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n",
      "PROXY UNKNOWNX\r\n",
      "PROXY \n",
      "PROXY TCP4 192.0.2.1\r192.0.2.2 1 2\r\n",
      "PROXY UNKNOWN " + std::string(100, 'x') + "\r\n",
      "PROXY " + std::string(101, 'x'),
      kSignature + "\x11\x11\x00\x0c"s + kInet4,     // version 1
      kSignature + "\x22\x11\x00\x0c"s + kInet4,     // no such command
      binary('\x21', '\x12', kInet4),                // UDP
      binary('\x21', '\x41', kInet4),                // no such family
      binary('\x21', '\x11', kInet4.substr(1)),      // too short
      binary('\x21', '\x21', kInet4),                // too short for IPv6
      binary('\x21', '\x11', kInet4 + "\x02\x00"s),  // half a TLV
      binary('\x21', '\x11', kInet4 + "\x02\x00\x05"s + "abc"),
      kSignature + "\x21\x11\xff\xff"s,  // 65535 bytes announced
      "\r\n\r\n\0\r\nQUIX"s,
  };
  for (const auto& bytes : refused) EXPECT_FALSE(parse_proxy_header(bytes)) << bytes;
}

TEST(ProxyProtocol, DoesNotWaitForWhatCannotBecomeAHeader) {
  EXPECT_TRUE(parse_proxy_header("").value() == std::nullopt);
  EXPECT_TRUE(parse_proxy_header("P").value() == std::nullopt);
  EXPECT_TRUE(parse_proxy_header("\r\n").value() == std::nullopt);
  EXPECT_FALSE(parse_proxy_header("G"));
  EXPECT_FALSE(parse_proxy_header("PO"));
  EXPECT_FALSE(parse_proxy_header("\r\nG"));
}

}  // namespace
}  // namespace saola::proxy
