#include "common/core/inline_writer.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>

#include "common/core/unique_fd.h"

namespace saola {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;

struct Pipe {
  Pipe() {
    std::array<int, 2> fds{};
    EXPECT_EQ(::pipe2(fds.data(), O_CLOEXEC), 0);
    read_end.reset(fds[0]);
    write_end.reset(fds[1]);
    ::fcntl(write_end.get(), F_SETPIPE_SZ, 4096);
  }
  std::unique_ptr<LogOutlet> outlet() const {
    return make_file_outlet(UniqueFd(::fcntl(write_end.get(), F_DUPFD_CLOEXEC, 3)));
  }
  std::string read_all() const {
    std::string text;
    std::array<char, 4096> block{};
    ::fcntl(read_end.get(), F_SETFL, O_NONBLOCK);
    for (;;) {
      const ssize_t got = ::read(read_end.get(), block.data(), block.size());
      if (got <= 0) return text;
      text.append(block.data(), static_cast<std::size_t>(got));
    }
  }
  UniqueFd read_end;
  UniqueFd write_end;
};

std::string line(std::size_t number) {
  return "line " + std::to_string(number) + std::string(90, '.') + "\n";
}

TEST(InlineWriter, WritesAtOnce) {
  const Pipe pipe;
  InlineWriter writer(pipe.outlet());
  writer.write_line("one line\n");
  EXPECT_EQ(pipe.read_all(), "one line\n");
  EXPECT_FALSE(writer.waiting());
}

// The supervisor's case: nobody reads its standard error. That this returns at all is the point.
TEST(InlineWriter, AFullPipeHoldsNobodyUpAndLosesOnlyWhatIsOverTheBound) {
  const Pipe pipe;
  InlineWriter writer(pipe.outlet(), {}, 8192);
  for (std::size_t i = 0; i < 1000; ++i) writer.write_line(line(i));
  EXPECT_TRUE(writer.waiting());
  EXPECT_GT(writer.dropped_lines(), 800U);
  EXPECT_EQ(::fcntl(pipe.write_end.get(), F_GETFL) & O_NONBLOCK, 0);
  std::string text;
  while (writer.waiting()) {
    text += pipe.read_all();
    writer.flush();
  }
  text += pipe.read_all();
  const std::size_t kept = 1000 - writer.dropped_lines();
  for (std::size_t i = 0; i < kept; ++i) EXPECT_THAT(text, HasSubstr(line(i)));
  EXPECT_THAT(text, HasSubstr(std::to_string(writer.dropped_lines()) + " lines dropped"));
}

TEST(InlineWriter, DrainWaitsForAReaderButNotForEver) {
  const Pipe pipe;
  InlineWriter writer(pipe.outlet(), {}, 8192);
  for (std::size_t i = 0; i < 60; ++i) writer.write_line(line(i));
  EXPECT_FALSE(writer.drain(milliseconds(20)));
  const std::string first = pipe.read_all();
  EXPECT_TRUE(writer.drain(milliseconds(5000)));
  EXPECT_EQ((first + pipe.read_all()).size(), 60 * line(10).size() - 10);
}

TEST(InlineWriter, ALineThatAnOldFileHasInPartIsWholeInTheNewOne) {
  const Pipe full;
  const Pipe fresh;
  InlineWriter writer(full.outlet());
  const std::string longer(5000, 'x');
  writer.write_line(longer + "\n");
  writer.replace(fresh.outlet());
  std::string text = fresh.read_all();
  writer.flush();
  text += fresh.read_all();
  EXPECT_EQ(text, longer + "\n");
}

}  // namespace
}  // namespace saola
