#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/ipc/scoreboard.h"

namespace saola::ipc {
namespace {

TEST(Scoreboard, WhatOneSideWritesTheOtherReads) {
  const auto file = Scoreboard::create_file();
  ASSERT_TRUE(file);
  auto worker = Scoreboard::map(*file).value();
  auto reader = Scoreboard::map(*file).value();
  EXPECT_EQ(reader.slot(5).phase, static_cast<std::uint32_t>(WorkerPhase::kEmpty));
  worker.slot(5).pid = 4711;
  worker.slot(Scoreboard::kSlots - 1).requests_started = 1;
  EXPECT_EQ(reader.slot(5).pid, 4711U);
  EXPECT_EQ(reader.slot(Scoreboard::kSlots - 1).requests_started, 1U);
}

TEST(Scoreboard, OutlivesItsWriter) {
  const auto file = Scoreboard::create_file();
  ASSERT_TRUE(file);
  { Scoreboard::map(*file)->slot(0).requests_finished = 9; }
  EXPECT_EQ(Scoreboard::map(*file)->slot(0).requests_finished, 9U);
}

TEST(Scoreboard, CannotBeResizedByAWorkerToCrashTheOthers) {
  const auto file = Scoreboard::create_file();
  ASSERT_TRUE(file);
  EXPECT_NE(::ftruncate(file->get(), 0), 0);
  EXPECT_NE(::ftruncate(file->get(), 1 << 20), 0);
}

TEST(Scoreboard, RefusesAFileOfAnotherSize) {
  const UniqueFd other(::memfd_create("other", MFD_CLOEXEC));
  ASSERT_EQ(::ftruncate(other.get(), 64), 0);
  EXPECT_FALSE(Scoreboard::map(other));
}

}  // namespace
}  // namespace saola::ipc
