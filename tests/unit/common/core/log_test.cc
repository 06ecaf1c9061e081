#include "common/core/log.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "common/core/unique_fd.h"

namespace saola {
namespace {

class MemorySink final : public LogSink {
 public:
  void write_line(std::string_view line) override { lines.emplace_back(line); }
  std::vector<std::string> lines;
};

// What stands behind the prefix of the only line.
std::string text_of(const MemorySink& sink) {
  EXPECT_EQ(sink.lines.size(), 1U);
  const std::string& line = sink.lines.front();
  return line.substr(line.find("]") + 1);
}

TEST(Log, ARecordSaysWhenHowSevereWhoAndWhat) {
  MemorySink sink;
  const Logger log(sink, "edge", LogLevel::kInfo);
  log.write(LogLevel::kWarning, "queue deadline passed", "abc");
  ASSERT_EQ(sink.lines.size(), 1U);
  const std::string expected =
      "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z " +
      std::string("warning edge\\[") + std::to_string(::getpid()) +
      "\\] request=abc: queue deadline passed\n";
  EXPECT_THAT(sink.lines[0], ::testing::MatchesRegex(expected));
}

TEST(Log, ARecordNamesItsGeneration) {
  MemorySink sink;
  Logger log(sink, "edge", LogLevel::kInfo);
  log.set_generation(12);
  log.write(LogLevel::kInfo, "text", "abc");
  EXPECT_EQ(text_of(sink), " generation=12 request=abc: text\n");
}

TEST(Log, LevelsBelowTheSetOneMakeNoLine) {
  MemorySink sink;
  const Logger log(sink, "edge", LogLevel::kWarning);
  log.debug("{}", 1);
  log.info("{}", 2);
  log.write(LogLevel::kInfo, "2");
  log.write_block(LogLevel::kDebug, "2");
  EXPECT_TRUE(sink.lines.empty());
  log.warning("{}", 3);
  log.error("{}", 4);
  log.critical("{}", 5);
  EXPECT_EQ(sink.lines.size(), 3U);
  EXPECT_NE(sink.lines[2].find(" critical edge["), std::string::npos);
}

TEST(Log, OneRecordIsOneLineWhateverIsInIt) {
  struct Row {
    std::string_view message;
    std::string_view shown;
  };
  const Row table[] = {
      {"unknown key \"worker\"", ": unknown key \"worker\"\n"},
      {"a\nb", ": a\\x0ab\n"},
      {"\x1b[2J", ": \\x1b[2J\n"},
      {"caf\xc3\xa9 \xe2\x82\xac", ": caf\xc3\xa9 \xe2\x82\xac\n"},
      {"\xc2\x9b 2J", ": \\xc2\\x9b 2J\n"},
      {"\xff\x7f", ": \\xff\\x7f\n"},
  };
  for (const Row& row : table) {
    MemorySink sink;
    Logger(sink, "edge", LogLevel::kInfo).write(LogLevel::kInfo, row.message);
    EXPECT_EQ(text_of(sink), row.shown);
  }
}

TEST(Log, ATracebackKeepsItsLines) {
  MemorySink sink;
  Logger(sink, "worker app 3", LogLevel::kInfo)
      .write_block(LogLevel::kError, "Traceback:\n\tValueError: \x1b[0m\n\n", "id");
  EXPECT_EQ(text_of(sink), " request=id: Traceback:\n\tValueError: \\x1b[0m\n");
}

TEST(Log, FieldsFromOutsideCannotBreakOutOfTheirQuotes) {
  std::string out = "\"";
  append_escaped(out, "a\"b\\c\r\n\xc3\xa9");
  EXPECT_EQ(out, "\"a\\x22b\\x5cc\\x0d\\x0a\\xc3\\xa9");
}

TEST(Log, DirectSinkWritesToItsDescriptor) {
  int fds[2];
  ASSERT_EQ(::pipe2(fds, O_CLOEXEC), 0);
  const UniqueFd read_end(fds[0]);
  const UniqueFd write_end(fds[1]);
  DirectSink sink(write_end.get());
  sink.write_line("one line\n");
  char space[32];
  EXPECT_EQ(::read(read_end.get(), space, sizeof space), 9);
}

}  // namespace
}  // namespace saola
