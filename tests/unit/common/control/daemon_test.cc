#include "common/control/daemon.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <string>

#include "common/control/start_report.h"

namespace saola::control {
namespace {

struct Pipe {
  Pipe() {
    std::array<int, 2> ends{};
    EXPECT_EQ(::pipe2(ends.data(), 0), 0);
    from.reset(ends[0]);
    to.reset(ends[1]);
  }
  std::string read_all() {
    to.reset();
    std::string all;
    std::array<char, 256> block{};
    for (ssize_t got = 0; (got = ::read(from.get(), block.data(), block.size())) > 0;) {
      all.append(block.data(), static_cast<std::size_t>(got));
    }
    return all;
  }
  void write(std::string_view text) const {
    EXPECT_EQ(::write(to.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  UniqueFd from;
  UniqueFd to;
};

class NoSink final : public LogSink {
 public:
  void write_line(std::string_view) override {}
};

TEST(Daemon, TheStarterRepeatsWhatTheServerSaysAndItsCode) {
  Pipe words;
  words.write("app cannot be loaded\nTraceback\n");
  tell_starter(words.to, 3);
  Pipe shown;
  EXPECT_EQ(await_server(words.from, shown.to.get()), 3);
  EXPECT_EQ(shown.read_all(), "app cannot be loaded\nTraceback\n");
}

TEST(Daemon, AServerThatIsReadySaysNothing) {
  Pipe words;
  tell_starter(words.to, 0);
  Pipe shown;
  EXPECT_EQ(await_server(words.from, shown.to.get()), 0);
  EXPECT_EQ(shown.read_all(), "");
}

TEST(Daemon, AServerThatDiesIsNoticed) {
  Pipe words;
  words.to.reset();
  Pipe shown;
  EXPECT_EQ(await_server(words.from, shown.to.get()), 1);
  EXPECT_NE(shown.read_all().find("died before it was ready"), std::string::npos);
}

TEST(Daemon, AReportGoesToTheStarterOnce) {
  NoSink sink;
  const Logger log(sink, "supervisor", LogLevel::kInfo);
  Pipe words;
  StartReport report(log, true, std::move(words.to));
  report.problem("no such app");
  report.outcome(3);
  report.outcome(0);
  Pipe shown;
  EXPECT_EQ(await_server(words.from, shown.to.get()), 3);
  EXPECT_NE(shown.read_all().find("no such app"), std::string::npos);
  std::array<char, 1> more{};
  EXPECT_EQ(::read(words.from.get(), more.data(), more.size()), 0) << "closed";
}

// The server is in a session of its own, does not lead it, and writes nowhere.
TEST(Daemon, TheServerRunsBehindItsStarter) {
  Pipe facts;
  const auto detached = detach(false);
  ASSERT_TRUE(detached) << detached.error().message;
  if (!detached->is_starter) {
    const bool apart = ::getsid(0) != ::getpid() && ::getpid() != ::getpgid(0);
    std::array<char, 64> name{};
    const auto length = ::readlink("/proc/self/fd/1", name.data(), name.size() - 1);
    const bool silent = length > 0 && std::string(name.data()) == "/dev/null";
    const std::string said = std::to_string(::getsid(0)) + (apart && silent ? " good" : " bad");
    facts.write(said);
    tell_starter(detached->pipe, 7);
    ::_exit(0);
  }
  EXPECT_EQ(await_server(detached->pipe, STDERR_FILENO), 7);
  const std::string said = facts.read_all();
  EXPECT_TRUE(said.ends_with(" good")) << said;
  EXPECT_NE(said, std::to_string(::getsid(0)) + " good");
}

}  // namespace
}  // namespace saola::control
