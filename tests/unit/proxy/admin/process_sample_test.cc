#include "proxy/admin/process_sample.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/temporary_directory.h"

namespace saola::proxy {
namespace {

TEST(ProcessSample, OfThisProcessMakesSense) {
  const auto sample = sample_process(::getpid());
  ASSERT_TRUE(sample);
  EXPECT_GT(sample->resident_bytes, 1'000'000U);
  EXPECT_GE(sample->user_seconds + sample->system_seconds, 0);
}

TEST(ProcessSample, ANameMayHaveAnythingInIt) {
  const test::TemporaryDirectory proc;
  ASSERT_EQ(::mkdir(proc.path("7").c_str(), 0755), 0);
  proc.write("7/stat",
             "7 (a) b (c 1 2) S 1 7 7 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 1 0 100 1000 3 99\n");
  proc.write("7/smaps_rollup", "55d0-7ffd ---p 0 00:00 0 [rollup]\nRss:  12 kB\nPss:   8 kB\n");
  const auto sample = sample_process(7, proc.path());
  ASSERT_TRUE(sample);
  const auto ticks = static_cast<double>(::sysconf(_SC_CLK_TCK));
  EXPECT_DOUBLE_EQ(sample->user_seconds, 250 / ticks);
  EXPECT_DOUBLE_EQ(sample->system_seconds, 50 / ticks);
  EXPECT_EQ(sample->resident_bytes, 3U * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)));
  EXPECT_EQ(proportional_memory(7, proc.path()), 8192U);
}

TEST(ProcessSample, WhatHasGoneOrMakesNoSenseIsNothing) {
  const test::TemporaryDirectory proc;
  EXPECT_FALSE(sample_process(7, proc.path()));
  EXPECT_FALSE(proportional_memory(7, proc.path()));
  ASSERT_EQ(::mkdir(proc.path("7").c_str(), 0755), 0);
  for (const char* text : {"", "7 (x) S", "7 x S 1\n"}) {
    proc.write("7/stat", text);
    EXPECT_FALSE(sample_process(7, proc.path())) << text;
  }
}

}  // namespace
}  // namespace saola::proxy
