#include "common/control/service_manager.h"

#include <gmock/gmock.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "tests/support/temporary_directory.h"

namespace saola::control {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

class LinesSink final : public LogSink {
 public:
  void write_line(std::string_view line) override { text += line; }
  std::string text;
};

// The manager's end: a datagram socket by path or abstract name ("@...").
class Manager {
 public:
  explicit Manager(const std::string& name)
      : socket_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, name.data(), name.size());
    if (name[0] == '@') address.sun_path[0] = '\0';
    const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size() +
                                               (name[0] == '@' ? 0 : 1));
    EXPECT_EQ(::bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), length), 0);
  }
  std::string next() {
    std::array<char, 4096> space{};
    const auto got = ::recv(socket_.get(), space.data(), space.size(), 0);
    return got < 0 ? "nothing" : std::string(space.data(), static_cast<std::size_t>(got));
  }

 private:
  UniqueFd socket_;
};

class ServiceManagerTest : public testing::Test {
 protected:
  test::TemporaryDirectory directory_;
  LinesSink sink_;
  Logger log_{sink_, "supervisor", LogLevel::kDebug};
};

TEST_F(ServiceManagerTest, TellsHowTheServerIs) {
  const std::string path = directory_.path("notify");
  Manager manager(path);
  ServiceManager service(log_, {path, "", ""});
  EXPECT_TRUE(service.is_present());
  service.ready("4 workers");
  EXPECT_EQ(manager.next(), "READY=1\nSTATUS=4 workers");
  service.reloading("generation 2 starts");
  const std::string reloading = manager.next();
  EXPECT_THAT(reloading, StartsWith("RELOADING=1\nMONOTONIC_USEC="));
  EXPECT_THAT(reloading, HasSubstr("\nSTATUS=generation 2 starts"));
  service.stopping("drains");
  EXPECT_EQ(manager.next(), "STOPPING=1\nSTATUS=drains");
  service.alive();
  EXPECT_EQ(manager.next(), "WATCHDOG=1");
  service.extend_timeout(std::chrono::seconds(5));
  EXPECT_EQ(manager.next(), "EXTEND_TIMEOUT_USEC=5000000");
  EXPECT_EQ(manager.next(), "nothing");
  EXPECT_EQ(sink_.text, "");
}

TEST_F(ServiceManagerTest, AStatusCannotCarryAssignments) {
  const std::string path = directory_.path("notify");
  Manager manager(path);
  ServiceManager(log_, {path, "", ""}).status("a\nREADY=1");
  EXPECT_EQ(manager.next(), "STATUS=a READY=1");
}

TEST_F(ServiceManagerTest, KnowsAbstractNames) {
  const std::string name = "@saola-test-" + std::to_string(::getpid());
  Manager manager(name);
  ServiceManager(log_, {name, "", ""}).alive();
  EXPECT_EQ(manager.next(), "WATCHDOG=1");
}

TEST_F(ServiceManagerTest, WithoutAManagerNothingHappens) {
  ServiceManager service(log_, {"", "1000000", ""});
  EXPECT_FALSE(service.is_present());
  EXPECT_EQ(service.watchdog_interval(), std::nullopt);
  service.ready("x");
  EXPECT_EQ(sink_.text, "");
}

TEST_F(ServiceManagerTest, IsWatchedOnlyIfTheIntervalIsForThisProcess) {
  const std::string path = directory_.path("notify");
  const std::string own = std::to_string(::getpid());
  const auto interval = [&](const std::string& usec, const std::string& pid) {
    return ServiceManager(log_, {path, usec, pid}).watchdog_interval();
  };
  EXPECT_EQ(interval("10000000", own), std::chrono::seconds(5));
  EXPECT_EQ(interval("10000000", ""), std::chrono::seconds(5));
  EXPECT_EQ(interval("10000000", "1"), std::nullopt);
  EXPECT_EQ(interval("x", own), std::nullopt);
  EXPECT_EQ(interval("0", own), std::nullopt);
}

TEST_F(ServiceManagerTest, AManagerThatIsNotThereIsReportedOnce) {
  ServiceManager service(log_, {directory_.path("gone"), "", ""});
  service.alive();
  const std::string once = sink_.text;
  EXPECT_THAT(once, HasSubstr("the service manager cannot be told"));
  service.alive();
  EXPECT_EQ(sink_.text, once);
}

TEST_F(ServiceManagerTest, AnAddressThatIsNoneIsReported) {
  for (const std::string& name : {std::string("relative"), std::string("@"),
                                  '/' + std::string(200, 'x'), std::string("vsock:2:1")}) {
    sink_.text.clear();
    EXPECT_FALSE(ServiceManager(log_, {name, "", ""}).is_present()) << name;
    EXPECT_THAT(sink_.text, HasSubstr("NOTIFY_SOCKET")) << name;
  }
}

}  // namespace
}  // namespace saola::control
