#include "common/config/address.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace saola::config {
namespace {

using testing::HasSubstr;

TEST(Address, ReadsWhatAListenerMayBe) {
  struct Row {
    std::string text;
    Address expected;
    std::string canonical;
  };
  const auto inet = [](std::string host, std::uint16_t port, bool is_ipv6 = false) {
    return Address{Address::Kind::kInet, std::move(host), is_ipv6, port, {}, -1, {}};
  };
  const std::vector<Row> table{
      {"127.0.0.1:8000", inet("127.0.0.1", 8000), "127.0.0.1:8000"},
      {"0.0.0.0:0", inet("0.0.0.0", 0), "0.0.0.0:0"},
      {":8443", inet("0.0.0.0", 8443), "0.0.0.0:8443"},
      {"*:8443", inet("0.0.0.0", 8443), "0.0.0.0:8443"},
      {"localhost:80", inet("localhost", 80), "localhost:80"},
      {"[::1]:65535", inet("::1", 65535, true), "[::1]:65535"},
      {"[0:0:0:0:0:0:0:1]:1", inet("::1", 1, true), "[::1]:1"},
      {"[::]:443", inet("::", 443, true), "[::]:443"},
      {"[fe80::1%eth0]:80", inet("fe80::1%eth0", 80, true), "[fe80::1%eth0]:80"},
      {"unix:/run/saola/web.sock",
       {Address::Kind::kUnix, "", false, 0, "/run/saola/web.sock", -1, ""},
       "unix:/run/saola/web.sock"},
      {"unix:web.sock", {Address::Kind::kUnix, "", false, 0, "web.sock", -1, ""}, "unix:web.sock"},
      {"fd:3", {Address::Kind::kFd, "", false, 0, "", 3, ""}, "fd:3"},
      {"fd://3", {Address::Kind::kFd, "", false, 0, "", 3, ""}, "fd:3"},
      {"systemd:web", {Address::Kind::kSystemd, "", false, 0, "", -1, "web"}, "systemd:web"}};
  for (const Row& row : table) {
    auto parsed = parse_address(row.text);
    ASSERT_TRUE(parsed) << row.text << ": " << parsed.error().message;
    EXPECT_EQ(*parsed, row.expected) << row.text;
    EXPECT_EQ(to_string(*parsed), row.canonical);
    EXPECT_EQ(*parse_address(row.canonical), row.expected);
  }
}

TEST(Address, ThatIsNoneSaysWhatIsAccepted) {
  const std::vector<std::pair<std::string, std::string>> table{
      {"", "'' has no port"},
      {"8000", "'8000' has no port"},
      {"127.0.0.1", "'127.0.0.1' has no port"},
      {"127.0.0.1:", "has no port from 0 to 65535"},
      {"127.0.0.1:65536", "has no port from 0 to 65535"},
      {"127.0.0.1:-1", "has no port from 0 to 65535"},
      {"127.0.0.1:80x", "has no port from 0 to 65535"},
      {"127.0.0.256:80", "is not an address"},
      {"1.2.3:80", "is not an address"},
      {"::1:8000", "IPv6 goes in brackets"},
      {"[::1]", "is not an address with a port"},
      {"[::g]:80", "has no IPv6 address in its brackets"},
      {"[127.0.0.1]:80", "has no IPv6 address in its brackets"},
      {"http://localhost:80", "IPv6 goes in brackets"},
      {"a b:80", "is not an address"},
      {"unix:", "has no path"},
      {"fd:", "has no descriptor number"},
      {"fd:x", "has no descriptor number"},
      {"fd:-1", "has no descriptor number"},
      {"systemd:", "has no name of a socket"},
      {"systemd:a:b", "has no name of a socket"}};
  for (const auto& [text, why] : table) {
    auto parsed = parse_address(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_THAT(parsed.error().message, HasSubstr(why)) << text;
    EXPECT_THAT(
        parsed.error().message,
        HasSubstr("write 127.0.0.1:8000, [::1]:8000, :8000, unix:PATH, fd:N or systemd:NAME"));
  }
}

TEST(Network, IsAnAddressAPrefixOrAWord) {
  for (const char* text :
       {"10.0.0.0/8", "192.0.2.1", "0.0.0.0/0", "::1", "2001:db8::/32", "::/0", "unix", "*"}) {
    EXPECT_TRUE(check_network(text)) << text;
  }
  for (const char* text : {"", "10.0.0.0/33", "10.0.0/8", "::/129", "localhost", "10.0.0.0/", "/8",
                           "10.0.0.0/-1", "10.0.0.0/8/8", "fe80::1%eth0", "UNIX"}) {
    auto checked = check_network(text);
    ASSERT_FALSE(checked) << text;
    EXPECT_THAT(checked.error().message, HasSubstr("is not a network; write 10.0.0.0/8"));
  }
}

}  // namespace
}  // namespace saola::config
