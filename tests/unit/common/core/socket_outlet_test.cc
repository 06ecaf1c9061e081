#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <filesystem>

#include "common/core/log_outlet.h"
#include "common/core/record_style.h"
#include "common/core/unique_fd.h"

namespace saola {
namespace {

using std::chrono::milliseconds;
using State = LogOutlet::State;

std::string framed(std::string_view text) {
  return std::to_string(text.size()) + " " + std::string(text);
}

class SocketOutletTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "saola_out_XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    directory_ = name;
    path_ = name + "/log";
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  UniqueFd listen_unix(int type) const {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path_.data(), path_.size());
    UniqueFd server(::socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::bind(server.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    if (type == SOCK_STREAM) {
      EXPECT_EQ(::listen(server.get(), 4), 0);
    }
    return server;
  }
  std::unique_ptr<LogOutlet> outlet(LogAddress::Kind kind = LogAddress::Kind::kUnix) const {
    return make_socket_outlet({kind, path_, {}}, true);
  }

  static std::string receive(const UniqueFd& socket) {
    pollfd ready{socket.get(), POLLIN, 0};
    EXPECT_EQ(::poll(&ready, 1, 10'000), 1);
    std::string text(100'000, '\0');
    const ssize_t got = ::recv(socket.get(), text.data(), text.size(), 0);
    text.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
    return text;
  }

  std::string directory_;
  std::string path_;
};

TEST_F(SocketOutletTest, EachRecordIsADatagram) {
  const UniqueFd server = listen_unix(SOCK_DGRAM);
  const auto out = outlet();
  const std::string bytes = framed("first") + framed("second\nline");
  const auto outcome = out->write(bytes);
  EXPECT_EQ(outcome.taken, bytes.size());
  EXPECT_EQ(receive(server), "first");
  EXPECT_EQ(receive(server), "second\nline");
}

TEST_F(SocketOutletTest, AServerThatIsAwayTakesNothingAndIsFoundWhenItComes) {
  const auto out = outlet();
  EXPECT_EQ(out->write(framed("text")).state, State::kDown);
  UniqueFd server = listen_unix(SOCK_DGRAM);
  EXPECT_EQ(out->write(framed("text")).taken, 6U);
  EXPECT_EQ(receive(server), "text");
  server.reset();
  ::unlink(path_.c_str());
  EXPECT_EQ(out->write(framed("text")).state, State::kDown);
  server = listen_unix(SOCK_DGRAM);
  EXPECT_EQ(out->write(framed("again")).taken, 7U);
  EXPECT_EQ(receive(server), "again");
}

TEST_F(SocketOutletTest, AServerThatDoesNotReadHoldsNobodyUp) {
  const UniqueFd server = listen_unix(SOCK_DGRAM);
  const auto out = outlet();
  State state = State::kOk;
  for (int i = 0; i < 100'000 && state == State::kOk; ++i) state = out->write(framed("text")).state;
  EXPECT_EQ(state, State::kFull);
  EXPECT_FALSE(out->wait(milliseconds(1)));
  receive(server);
  EXPECT_TRUE(out->wait(milliseconds(10'000)));
}

TEST_F(SocketOutletTest, AStreamAtAPathGetsFramedRecords) {
  const UniqueFd server = listen_unix(SOCK_STREAM);
  const auto out = outlet();
  EXPECT_EQ(out->write(framed("one") + framed("two")).taken, 10U);
  const UniqueFd accepted(::accept4(server.get(), nullptr, nullptr, SOCK_CLOEXEC));
  EXPECT_EQ(receive(accepted), "3 one3 two");
}

TEST_F(SocketOutletTest, ABrokenStreamIsMadeAnewAndTheRecordSentWhole) {
  const UniqueFd server = listen_unix(SOCK_STREAM);
  const auto out = outlet();
  out->write(framed("one"));
  UniqueFd accepted(::accept4(server.get(), nullptr, nullptr, SOCK_CLOEXEC));
  EXPECT_EQ(receive(accepted), "3 one");
  // More than the socket holds: the last record has gone in half.
  const std::string big = framed(std::string(3'000'000, 'x'));
  EXPECT_EQ(out->write(big).taken, 0U);
  accepted.reset();
  EXPECT_EQ(out->write(big).state, State::kDown);
  EXPECT_EQ(out->write(framed("two")).taken, 5U);
  const UniqueFd next(::accept4(server.get(), nullptr, nullptr, SOCK_CLOEXEC));
  EXPECT_EQ(receive(next), "3 two");
}

TEST_F(SocketOutletTest, ATcpServerGetsFramedRecords) {
  UniqueFd server(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ASSERT_EQ(::bind(server.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(::listen(server.get(), 4), 0);
  ASSERT_EQ(::getsockname(server.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  LogAddress where;
  ASSERT_TRUE(
      parse_syslog_address("tcp:127.0.0.1:" + std::to_string(ntohs(address.sin_port)), where));
  const auto out = make_socket_outlet(where, true);
  std::size_t taken = 0;
  while (taken == 0) {
    const auto outcome = out->write(framed("over tcp"));
    ASSERT_NE(outcome.state, State::kDown);
    taken = outcome.taken;
    if (outcome.state == State::kFull) {
      ASSERT_TRUE(out->wait(milliseconds(10'000)));
    }
  }
  const UniqueFd accepted(::accept4(server.get(), nullptr, nullptr, SOCK_CLOEXEC));
  EXPECT_EQ(receive(accepted), "8 over tcp");
}

TEST_F(SocketOutletTest, ARecordTooLongForJournaldIsHandedOverAsAFile) {
  const UniqueFd server = listen_unix(SOCK_DGRAM);
  const auto out = outlet(LogAddress::Kind::kJournal);
  const std::string longer = framed(std::string(1'000'000, 'j'));
  EXPECT_EQ(out->write(longer).taken, longer.size());
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> space{};
  msghdr message{};
  message.msg_control = space.data();
  message.msg_controllen = space.size();
  EXPECT_EQ(::recvmsg(server.get(), &message, MSG_CMSG_CLOEXEC), 0);
  const cmsghdr* head = CMSG_FIRSTHDR(&message);
  ASSERT_NE(head, nullptr);
  int fd = -1;
  std::memcpy(&fd, CMSG_DATA(head), sizeof fd);
  const UniqueFd file(fd);
  struct stat facts {};
  ASSERT_EQ(::fstat(file.get(), &facts), 0);
  EXPECT_EQ(facts.st_size, 1'000'000);
}

TEST_F(SocketOutletTest, ALongMessageOfSyslogIsCut) {
  const UniqueFd server = listen_unix(SOCK_DGRAM);
  const auto out = outlet();
  const std::string longer = framed(std::string(90'000, 's'));
  EXPECT_EQ(out->write(longer).taken, longer.size());
  EXPECT_EQ(receive(server), std::string(60 * 1024, 's'));
}

TEST(SyslogAddress, IsAPathOrAHostWithAPort) {
  LogAddress address;
  EXPECT_TRUE(parse_syslog_address("unix:/dev/log", address));
  EXPECT_EQ(address, (LogAddress{LogAddress::Kind::kUnix, "/dev/log", {}}));
  EXPECT_TRUE(parse_syslog_address("udp:localhost", address));
  EXPECT_EQ(address, (LogAddress{LogAddress::Kind::kUdp, "localhost", "514"}));
  EXPECT_TRUE(parse_syslog_address("tcp:[::1]:601", address));
  EXPECT_EQ(address, (LogAddress{LogAddress::Kind::kTcp, "::1", "601"}));
  EXPECT_TRUE(parse_syslog_address("tcp:[::1]", address));
  for (const char* wrong : {"", "/dev/log", "unix:", "udp:", "udp:h:", "udp:h:0", "udp:h:65536",
                            "udp:h:x", "udp:::1:514", "tls:h:6514", "udp::514"}) {
    EXPECT_FALSE(parse_syslog_address(wrong, address)) << wrong;
  }
}

}  // namespace
}  // namespace saola
