#include "common/control/listen_sockets.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>

#include "tests/support/temporary_directory.h"

namespace saola::control {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::MatchesRegex;

class ListenSocketsTest : public testing::Test {
 protected:
  ListenSocketsTest() { config_.directory = directory_.path(); }

  config::Listen& add(const std::string& address) {
    auto& listen = config_.listen.emplace_back();
    listen.address = address;
    return listen;
  }
  auto open() { return ListenSockets::open(config_, Credentials{}); }

  // A file that a server which was killed left behind.
  void leave_socket(const std::string& name) {
    const UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, directory_.path(name).c_str(), sizeof address.sun_path - 1);
    ASSERT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }

  test::TemporaryDirectory directory_;
  config::Config config_;
};

TEST_F(ListenSocketsTest, ListensOnTcpAndShowsThePortThatTheSystemChose) {
  add("127.0.0.1:0").tls.emplace();
  add("[::1]:0");
  const auto sockets = open();
  ASSERT_TRUE(sockets) << sockets.error().front();
  ASSERT_EQ(sockets->sockets().size(), 2U);
  EXPECT_THAT(sockets->sockets()[0]->shown, MatchesRegex("https://127.0.0.1:[1-9][0-9]+"));
  EXPECT_THAT(sockets->sockets()[1]->shown, MatchesRegex("http://\\[::1\\]:[1-9][0-9]+"));
  for (const auto& socket : sockets->sockets()) {
    EXPECT_NE(::fcntl(socket->fd.get(), F_GETFL) & O_NONBLOCK, 0);
    EXPECT_NE(::fcntl(socket->fd.get(), F_GETFD) & FD_CLOEXEC, 0);
  }
}

TEST_F(ListenSocketsTest, IPv6WithoutTheOnlyTakesIPv4AsWell) {
  add("[::]:0").ipv6_only = false;
  add("[::]:0").ipv6_only = true;
  const auto sockets = open();
  ASSERT_TRUE(sockets);
  for (const int expected : {0, 1}) {
    int only = -1;
    socklen_t length = sizeof only;
    ASSERT_EQ(::getsockopt(sockets->sockets()[static_cast<std::size_t>(expected)]->fd.get(),
                           IPPROTO_IPV6, IPV6_V6ONLY, &only, &length),
              0);
    EXPECT_EQ(only, expected);
  }
}

TEST_F(ListenSocketsTest, ReportsEveryAddressThatCannotBeHad) {
  add("127.0.0.1:0");
  const auto first = open();
  ASSERT_TRUE(first);
  const std::string taken = first->sockets()[0]->shown.substr(sizeof "http://" - 1);
  config_.listen.clear();
  add(taken);
  add("192.0.2.1:8443");
  add("fd:997");
  add("fd:0").address = "fd:2";
  const auto second = open();
  ASSERT_FALSE(second);
  EXPECT_THAT(second.error(), ElementsAre(HasSubstr("address already in use: " + taken),
                                          HasSubstr("no interface of this system has that address"),
                                          "fd:997: descriptor 997 is not open", HasSubstr("fd:2")));
}

TEST_F(ListenSocketsTest, TakesAnInheritedSocketAndLeavesItOpen) {
  add("127.0.0.1:0");
  const auto mine = open();
  ASSERT_TRUE(mine);
  config_.listen.clear();
  add("fd:" + std::to_string(mine->sockets()[0]->fd.get()));
  {
    const auto inherited = open();
    ASSERT_TRUE(inherited) << inherited.error().front();
    EXPECT_EQ(inherited->sockets()[0]->shown, mine->sockets()[0]->shown);
  }
  EXPECT_GE(::fcntl(mine->sockets()[0]->fd.get(), F_GETFD), 0);
}

TEST_F(ListenSocketsTest, ClosedSocketsRefuseClientsInheritedOnesToo) {
  add("127.0.0.1:0");
  add("unix:s.sock");
  auto mine = open();
  ASSERT_TRUE(mine);
  sockaddr_in address{};
  socklen_t length = sizeof address;
  const int number = mine->sockets()[0]->fd.get();
  ASSERT_EQ(::getsockname(number, reinterpret_cast<sockaddr*>(&address), &length), 0);
  config_.listen.clear();
  add("fd:" + std::to_string(number));
  auto inherited = open();
  ASSERT_TRUE(inherited);
  inherited->close();
  mine->close();
  const UniqueFd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_NE(::connect(client.get(), reinterpret_cast<sockaddr*>(&address), length), 0);
  EXPECT_FALSE(std::filesystem::exists(directory_.path("s.sock")));
}

TEST_F(ListenSocketsTest, AReloadKeepsWhatIsStillConfiguredAndClosesTheRest) {
  add("127.0.0.1:0");
  add("unix:s.sock").mode = 0600;
  auto before = open();
  ASSERT_TRUE(before);
  const std::string first = before->sockets()[0]->shown;
  config_.listen.clear();
  add("unix:s.sock").mode = 0640;
  add("127.0.0.1:0");
  add("127.0.0.1:0");
  auto after = ListenSockets::open(config_, {}, &*before);
  ASSERT_TRUE(after) << after.error().front();
  EXPECT_EQ(after->sockets()[0], before->sockets()[1]);
  EXPECT_EQ(after->sockets()[1], before->sockets()[0]);
  EXPECT_NE(after->sockets()[2]->shown, first) << "each is taken once";
  struct stat info {};
  ASSERT_EQ(::stat(directory_.path("s.sock").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0640U);

  before->close();
  EXPECT_TRUE(std::filesystem::exists(directory_.path("s.sock"))) << "it is still in use";
  after->close();
  EXPECT_FALSE(std::filesystem::exists(directory_.path("s.sock")));
}

TEST_F(ListenSocketsTest, AnOpenSocketCannotChangeWhichAddressesItTakes) {
  add("[::1]:0").ipv6_only = true;
  const auto before = open();
  ASSERT_TRUE(before);
  config_.listen[0].ipv6_only = false;
  const auto after = ListenSockets::open(config_, {}, &*before);
  ASSERT_FALSE(after);
  EXPECT_THAT(after.error(), ElementsAre(HasSubstr("restart to change it")));
}

TEST_F(ListenSocketsTest, AReloadMakesAUnixSocketAnewWhoseFileHasGone) {
  add("unix:s.sock");
  const auto before = open();
  ASSERT_TRUE(before);
  const auto kept = ListenSockets::open(config_, Credentials{}, &*before);
  ASSERT_TRUE(kept) << kept.error().front();
  EXPECT_EQ(kept->sockets()[0], before->sockets()[0]);
  ASSERT_EQ(::unlink(directory_.path("s.sock").c_str()), 0);
  const auto after = ListenSockets::open(config_, Credentials{}, &*before);
  ASSERT_TRUE(after) << after.error().front();
  EXPECT_NE(after->sockets()[0], before->sockets()[0]);
  EXPECT_EQ(::access(directory_.path("s.sock").c_str(), F_OK), 0);
}

TEST_F(ListenSocketsTest, MakesAUnixSocketWithItsModeAndRemovesIt) {
  add("unix:s.sock").mode = 0640;
  {
    const auto sockets = open();
    ASSERT_TRUE(sockets) << sockets.error().front();
    EXPECT_EQ(sockets->sockets()[0]->shown, "unix:" + directory_.path("s.sock") + " (http)");
    struct stat info {};
    ASSERT_EQ(::stat(directory_.path("s.sock").c_str(), &info), 0);
    EXPECT_TRUE(S_ISSOCK(info.st_mode));
    EXPECT_EQ(info.st_mode & 07777, 0640U);
  }
  EXPECT_FALSE(std::filesystem::exists(directory_.path("s.sock")));
}

TEST_F(ListenSocketsTest, ReplacesTheUnixSocketOfADeadServerOnly) {
  leave_socket("stale.sock");
  add("unix:stale.sock");
  const auto first = open();
  ASSERT_TRUE(first) << first.error().front();
  const auto second = open();
  ASSERT_FALSE(second);
  EXPECT_THAT(second.error().front(), HasSubstr("another server listens there"));
  EXPECT_TRUE(std::filesystem::exists(directory_.path("stale.sock")));
}

TEST_F(ListenSocketsTest, RemovesNoFileThatIsNoSocket) {
  directory_.write("file", "precious");
  add("unix:file");
  const auto sockets = open();
  ASSERT_FALSE(sockets);
  EXPECT_THAT(sockets.error().front(), HasSubstr("no socket"));
  EXPECT_TRUE(std::filesystem::exists(directory_.path("file")));
}

TEST_F(ListenSocketsTest, LeavesAUnixSocketThatAnotherServerPutInItsPlace) {
  add("unix:s.sock");
  {
    const auto sockets = open();
    ASSERT_TRUE(sockets);
    std::filesystem::remove(directory_.path("s.sock"));
    leave_socket("s.sock");
  }
  EXPECT_TRUE(std::filesystem::exists(directory_.path("s.sock")));
}

TEST_F(ListenSocketsTest, SaysThatAPathIsTooLong) {
  add("unix:" + std::string(108, 'x'));
  const auto sockets = open();
  ASSERT_FALSE(sockets);
  EXPECT_THAT(sockets.error().front(), HasSubstr("a socket's may have 107"));
}

}  // namespace
}  // namespace saola::control
