#include "common/core/log_fan.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

namespace saola {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;

class LogFanTest : public ::testing::TestWithParam<LogFan::Threads> {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "saola_fan_XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    directory_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  UniqueFd open_file(const std::string& name) const {
    return UniqueFd(
        ::open((directory_ / name).c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  }
  std::string content(const std::string& name) const {
    std::ostringstream text;
    text << std::ifstream(directory_ / name).rdbuf();
    return text.str();
  }
  LogPlan::Server absent_server() const {
    LogPlan::Server server{{LogAddress::Kind::kUnix, (directory_ / "absent").string(), {}}, {}};
    server.style.form = RecordStyle::Form::kSyslog;
    return server;
  }

  std::filesystem::path directory_;
};

TEST_P(LogFanTest, ATextLogUntilItIsPlannedOtherwise) {
  LogFan fan(GetParam(), 1 << 20, open_file("a"));
  const Logger log(fan, "edge", LogLevel::kInfo);
  log.info("first");
  LogPlan json;
  json.file_style.form = RecordStyle::Form::kJson;
  EXPECT_TRUE(fan.drain(milliseconds(10'000)));
  fan.plan(json, {}, false);
  log.info("second");
  EXPECT_TRUE(fan.drain(milliseconds(10'000)));
  EXPECT_THAT(content("a"), HasSubstr("]: first\n{\"time\":"));
  EXPECT_THAT(content("a"), HasSubstr("\"message\":\"second\"}\n"));
}

TEST_P(LogFanTest, ReopenedLinesGoToTheNewFile) {
  LogFan fan(GetParam(), 1 << 20, open_file("a"));
  fan.write_line("first\n");
  EXPECT_TRUE(fan.drain(milliseconds(10'000)));
  fan.reopen(open_file("b"));
  fan.write_line("second\n");
  EXPECT_TRUE(fan.drain(milliseconds(10'000)));
  EXPECT_EQ(content("a"), "first\n");
  EXPECT_EQ(content("b"), "second\n");
}

// The file has every line, however long the server is away; what it misses is counted.
TEST_P(LogFanTest, AServerThatIsAwayHoldsUpNeitherCallerNorFile) {
  LogFan fan(GetParam(), 4096, open_file("a"));
  LogPlan plan;
  plan.syslog = absent_server();
  fan.plan(plan, {}, false);
  std::size_t written = 0;
  for (int i = 0; i < 200; ++i) {
    const std::string line = "line " + std::to_string(i) + std::string(50, '.') + "\n";
    fan.write_line(line);
    written += line.size();
    if (i % 20 == 0) static_cast<void>(fan.drain(milliseconds(20)));  // the file's bound is small
  }
  EXPECT_GT(fan.dropped_lines(), 100U);
  const std::uint64_t dropped = fan.dropped_lines();
  plan.syslog.reset();
  fan.plan(plan, {}, false);
  EXPECT_TRUE(fan.drain(milliseconds(10'000)));
  EXPECT_EQ(content("a").size(), written);
  EXPECT_EQ(fan.dropped_lines(), dropped);
}

TEST(LogFanWithoutThreads, ForgetsWhatWaitsAndItsFile) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const UniqueFd reader(ends[0]);
  LogFan fan(LogFan::Threads::kNone, 1 << 20, UniqueFd(ends[1]));
  for (int i = 0; i < 2000; ++i) fan.write_line(std::string(99, 'x') + "\n");
  EXPECT_TRUE(fan.waiting());
  fan.forget();
  EXPECT_FALSE(fan.waiting());
  fan.write_line("to nobody\n");
  std::string rest(1 << 20, '\0');
  while (::read(reader.get(), rest.data(), rest.size()) > 0) {
  }  // it ends: no writer is left
}

INSTANTIATE_TEST_SUITE_P(Threads, LogFanTest,
                         ::testing::Values(LogFan::Threads::kOwn, LogFan::Threads::kNone));

}  // namespace
}  // namespace saola
