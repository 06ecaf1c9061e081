// What the application prints is in the error log, with the request it belongs to.
#include "backend/app_log.h"

#include <gmock/gmock.h>

#include "python_environment.h"

namespace saola::backend {
namespace {

using testing::HasSubstr;
using testing::Not;

class AppLogTest : public testing::Test {
 protected:
  void SetUp() override {
    test::CapturedLog::instance().clear();
    const auto installed = app_log_.install();
    ASSERT_TRUE(installed) << installed.error().message;
  }
  // Runs the source and returns the records it made.
  std::string run(std::string_view source) {
    const auto ran = run_embedded("test", source);
    EXPECT_TRUE(ran) << ran.error().message;
    return test::CapturedLog::instance().text();
  }

  AppLog app_log_{Logger(test::CapturedLog::instance(), "app", LogLevel::kDebug)};
};

std::size_t lines(const std::string& text) {
  return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
}

TEST_F(AppLogTest, ALinePrintedIsARecord) {
  const auto text = run("print('one', 'two')\nprint('three')\n");
  EXPECT_THAT(text, HasSubstr("info app"));
  EXPECT_THAT(text, HasSubstr("one two\n"));
  EXPECT_EQ(lines(text), 2U);
}

// Whoever took the streams at its import (logging's handlers) writes to the new place as well.
TEST_F(AppLogTest, GoesElsewhereAfterARedirection) {
  run("import sys, builtins\nbuiltins.taken = sys.stderr\n");
  app_log_.redirect(
      Logger(test::CapturedLog::instance(), "worker that was forked", LogLevel::kDebug));
  EXPECT_THAT(run("taken.write('kept\\n')\n"), HasSubstr("error worker that was forked"));
  EXPECT_THAT(run("print('words')\n"), HasSubstr("info worker that was forked"));
}

TEST_F(AppLogTest, StandardErrorIsOfLevelError) {
  EXPECT_THAT(run("import sys\nsys.stderr.write('bad\\n')\n"), HasSubstr("error app"));
}

TEST_F(AppLogTest, AnUnfinishedLineWaitsForItsEnd) {
  EXPECT_EQ(run("print('half', end='')\n"), "");
  EXPECT_THAT(run("print(' and half')\n"), HasSubstr("half and half\n"));
}

TEST_F(AppLogTest, FlushMakesARecordOfAnUnfinishedLine) {
  EXPECT_THAT(run("print('prompt: ', end='', flush=True)\n"), HasSubstr("prompt: "));
}

// Issue 4: an application that writes megabytes without a line break.
TEST_F(AppLogTest, WhatNeverEndsIsCutIntoRecords) {
  for (const char* source :
       {"print('x' * 1_000_000)\n", "for i in range(1000): print('x' * 1000, end='')\nprint()\n"}) {
    test::CapturedLog::instance().clear();
    const auto text = run(source);
    EXPECT_EQ(std::count(text.begin(), text.end(), 'x'), 1'000'000);
    EXPECT_GE(lines(text), 15U);
    EXPECT_LE(lines(text), 17U);
  }
}

TEST_F(AppLogTest, CutsBetweenLinesAndCharacters) {
  const auto blocks = run("print(('y' * 999 + '\\n') * 100)\n");
  EXPECT_THAT(blocks, Not(testing::ContainsRegex("yy: y")));
  EXPECT_EQ(std::count(blocks.begin(), blocks.end(), 'y'), 99'900);
  test::CapturedLog::instance().clear();
  EXPECT_THAT(run("print('a' + '\\u20ac' * 50_000)\n"), Not(HasSubstr("\\x")));
}

TEST_F(AppLogTest, UnfinishedLinesOfManyThreadsAreBounded) {
  const auto text = run(R"(
import threading
written, leave = threading.Semaphore(0), threading.Event()
def half():
    print('half', end='')
    written.release()
    leave.wait()
threads = [threading.Thread(target=half) for _ in range(300)]
for thread in threads: thread.start()
for thread in threads: written.acquire()
leave.set()
for thread in threads: thread.join()
)");
  EXPECT_EQ(lines(text), 300U - 256U);
}

TEST_F(AppLogTest, ALoggedTracebackIsOneRecord) {
  const auto text = run(R"(
import logging, io
logger = logging.Logger("test")
logger.addHandler(logging.StreamHandler())
try:
    1 / 0
except ZeroDivisionError:
    logger.exception("failed")
)");
  EXPECT_THAT(text, HasSubstr("ZeroDivisionError"));
  std::size_t records = 0;
  for (auto at = text.find("error app"); at != std::string::npos;
       at = text.find("error app", at + 1)) {
    ++records;
  }
  EXPECT_EQ(records, 1U);
}

TEST_F(AppLogTest, TheContextVariableNamesTheRequest) {
  const auto scope =
      steal(PyContextVar_Set(app_log_.context_var(), steal(PyUnicode_FromString("id-5")).ptr()));
  EXPECT_THAT(run("print('in a task')\n"), HasSubstr("id-5"));
  PyContextVar_Reset(app_log_.context_var(), scope.ptr());
  test::CapturedLog::instance().clear();
  EXPECT_THAT(run("print('outside')\n"), Not(HasSubstr("id-5")));
}

TEST_F(AppLogTest, TheThreadsRequestComesFirst) {
  const RequestIdScope scope("id-6");
  EXPECT_THAT(run("print('in a thread')\n"), HasSubstr("id-6"));
}

TEST_F(AppLogTest, BehavesLikeATextStream) {
  const auto text = run(R"(
import io, sys
out = sys.stdout
assert isinstance(out, io.TextIOBase) and out.writable() and not out.readable()
assert out.fileno() == 1 and sys.stderr.fileno() == 2 and not out.isatty()
assert out.encoding == "utf-8" and not out.closed and out.name == "<stdout>"
assert out.write("caf\u00e9 \udcff\n") == 7
out.writelines(["a\n", "b\n"])
out.buffer.write(b"bytes \xff\n")
out.buffer.flush()
out.reconfigure(line_buffering=True)
out.close()
print("still open")
try: out.write(b"x")
except TypeError: print("no bytes")
)");
  // The log escapes what is not plain ASCII.
  for (const char* part : {"\\udcff", "bytes ", "still open", "no bytes"}) {
    EXPECT_THAT(text, HasSubstr(part));
  }
  EXPECT_EQ(lines(text), 6U);
}

}  // namespace
}  // namespace saola::backend
