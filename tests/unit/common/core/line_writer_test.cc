#include "common/core/line_writer.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>
#include <vector>

namespace saola {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

class LineWriterTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "saola_log_XXXXXX").string();
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

  std::filesystem::path directory_;
};

struct Pipe {
  Pipe() {
    int fds[2];
    if (::pipe2(fds, O_CLOEXEC) == 0) {
      read_end.reset(fds[0]);
      write_end.reset(fds[1]);
    }
    ::fcntl(write_end.get(), F_SETPIPE_SZ, 4096);
  }
  void fill() {
    const std::string bytes(4096, 'f');
    EXPECT_EQ(::write(write_end.get(), bytes.data(), bytes.size()), 4096);
  }
  // Reads until `count` bytes have come, or nothing more came for a while.
  std::string read(std::size_t count) {
    std::string all;
    std::array<char, 4096> space;
    pollfd wait{read_end.get(), POLLIN, 0};
    while (all.size() < count && ::poll(&wait, 1, 5000) == 1) {
      const ssize_t n =
          ::read(read_end.get(), space.data(), std::min(space.size(), count - all.size()));
      if (n <= 0) break;
      all.append(space.data(), static_cast<std::size_t>(n));
    }
    return all;
  }
  UniqueFd read_end, write_end;
};

std::string note(std::uint64_t lines) { return "dropped " + std::to_string(lines) + "\n"; }

TEST_F(LineWriterTest, WritesLinesInOrder) {
  std::string expected;
  {
    LineWriter writer(open_file("log"));
    for (int i = 0; i < 20000; ++i) {
      const std::string line = "line " + std::to_string(i) + "\n";
      writer.write_line(line);
      expected += line;
    }
    EXPECT_TRUE(writer.drain(seconds(10)));
    EXPECT_EQ(writer.dropped_lines(), 0U);
    EXPECT_TRUE(content("log") == expected);
    writer.write_line("last\n");
  }
  EXPECT_TRUE(content("log") == expected + "last\n") << "the destructor writes what waits";
}

TEST_F(LineWriterTest, TakesLinesFromManyThreads) {
  LineWriter writer(open_file("log"), 16 << 20);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&writer] {
      for (int i = 0; i < 5000; ++i) writer.write_line("0123456789\n");
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(writer.drain(seconds(10)));
  const std::string text = content("log");
  EXPECT_EQ(text.size(), 4U * 5000 * 11);
  for (std::size_t at = 0; at < text.size(); at += 11) {
    ASSERT_EQ(text.compare(at, 11, "0123456789\n"), 0) << "a broken line at " << at;
  }
}

TEST_F(LineWriterTest, AFullPipeDropsAndTellsHowManyWhenItMovesAgain) {
  Pipe pipe;
  pipe.fill();
  LineWriter writer(UniqueFd(::dup(pipe.write_end.get())), 100, note);
  const std::string line = "0123456789012345678\n";
  const auto start = steady_clock::now();
  for (int i = 0; i < 1000; ++i) writer.write_line(line);
  EXPECT_LT(steady_clock::now() - start, seconds(2)) << "nobody waits for the pipe";
  EXPECT_FALSE(writer.drain(milliseconds(20)));
  const std::uint64_t dropped = writer.dropped_lines();
  EXPECT_EQ(dropped, 995U);
  pipe.read(4096);
  std::string expected;
  for (int i = 0; i < 5; ++i) expected += line;
  EXPECT_EQ(pipe.read(expected.size()), expected);
  // One note, or two if the thread took the lines before the last one was dropped.
  std::uint64_t told = 0;
  while (told < dropped) {
    std::string text;
    do text += pipe.read(1);
    while (!text.empty() && text.back() != '\n');
    ASSERT_TRUE(text.starts_with("dropped ")) << text;
    told += std::stoull(text.substr(8));
  }
  EXPECT_EQ(told, dropped);
  EXPECT_TRUE(writer.drain(seconds(5)));
  writer.write_line("again\n");
  EXPECT_EQ(pipe.read(6), "again\n");
}

TEST_F(LineWriterTest, NeverMakesTheDescriptorNonBlocking) {
  Pipe pipe;
  LineWriter writer(UniqueFd(::dup(pipe.write_end.get())));
  writer.write_line("line\n");
  EXPECT_EQ(pipe.read(5), "line\n");
  EXPECT_EQ(::fcntl(pipe.write_end.get(), F_GETFL) & O_NONBLOCK, 0);
}

TEST_F(LineWriterTest, WaitsForADescriptorThatOthersMadeNonBlocking) {
  Pipe pipe;
  pipe.fill();
  ::fcntl(pipe.write_end.get(), F_SETFL, O_NONBLOCK);
  LineWriter writer(UniqueFd(::dup(pipe.write_end.get())));
  writer.write_line("line\n");
  EXPECT_FALSE(writer.drain(milliseconds(20)));
  pipe.read(4096);
  EXPECT_EQ(pipe.read(5), "line\n");
}

TEST_F(LineWriterTest, AClosedPipeKillsNobodyAndANewFileGetsTheLines) {
  Pipe pipe;
  LineWriter writer(std::move(pipe.write_end));
  pipe.read_end.reset();
  writer.write_line("kept\n");
  EXPECT_FALSE(writer.drain(milliseconds(50)));
  writer.replace_fd(open_file("log"));
  EXPECT_TRUE(writer.drain(seconds(5)));
  EXPECT_EQ(content("log"), "kept\n");
}

TEST_F(LineWriterTest, AFullDiskDropsUntilThereIsRoom) {
  LineWriter writer(UniqueFd(::open("/dev/full", O_WRONLY | O_CLOEXEC)), 50, note);
  for (int i = 0; i < 20; ++i) writer.write_line("0123456789\n");
  EXPECT_FALSE(writer.drain(milliseconds(50)));
  EXPECT_EQ(writer.dropped_lines(), 16U);
  writer.replace_fd(open_file("log"));
  EXPECT_TRUE(writer.drain(seconds(5)));
  writer.write_line("after\n");
  EXPECT_TRUE(writer.drain(seconds(5)));
  EXPECT_EQ(content("log"), "0123456789\n0123456789\n0123456789\n0123456789\ndropped 16\nafter\n");
}

TEST_F(LineWriterTest, RotationPutsLaterLinesInTheNewFile) {
  LineWriter writer(open_file("old"));
  writer.write_line("one\n");
  EXPECT_TRUE(writer.drain(seconds(5)));
  writer.replace_fd(open_file("new"));
  writer.write_line("two\n");
  EXPECT_TRUE(writer.drain(seconds(5)));
  EXPECT_EQ(content("old"), "one\n");
  EXPECT_EQ(content("new"), "two\n");
}

TEST_F(LineWriterTest, RotationWorksWhileTheOldPipeIsFull) {
  Pipe pipe;
  pipe.fill();
  LineWriter writer(UniqueFd(::dup(pipe.write_end.get())));
  writer.write_line("one\n");
  EXPECT_FALSE(writer.drain(milliseconds(20)));
  writer.replace_fd(open_file("new"));
  EXPECT_TRUE(writer.drain(seconds(5)));
  EXPECT_EQ(content("new"), "one\n");
}

TEST_F(LineWriterTest, AStuckFileDoesNotHoldUpTheEnd) {
  Pipe pipe;
  pipe.fill();
  const auto start = steady_clock::now();
  {
    LineWriter writer(UniqueFd(::dup(pipe.write_end.get())));
    writer.write_line("never read\n");
  }
  EXPECT_LT(steady_clock::now() - start, LineWriter::kCloseGrace + seconds(1));
}

TEST_F(LineWriterTest, LinesInASharedPipeStayWhole) {
  Pipe pipe;
  LineWriter writer(UniqueFd(::dup(pipe.write_end.get())));
  const std::string line(99, 'x');
  for (int i = 0; i < 100; ++i) writer.write_line(line + "\n");
  // Each write into the pipe is of whole lines, at most PIPE_BUF bytes: the kernel does not split
  // it.
  std::size_t total = 0;
  while (total < 10000) {
    std::array<char, 4096> space;
    pollfd wait{pipe.read_end.get(), POLLIN, 0};
    ASSERT_EQ(::poll(&wait, 1, 5000), 1);
    const ssize_t n = ::read(pipe.read_end.get(), space.data(), space.size());
    ASSERT_EQ(n % 100, 0);
    total += static_cast<std::size_t>(n);
  }
  EXPECT_EQ(total, 10000U);
}

}  // namespace
}  // namespace saola
