#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>

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

TEST(Scoreboard, AWorkerMapsItsOwnPageAlone) {
  const auto file = Scoreboard::create_file();
  ASSERT_TRUE(file);
  auto all = Scoreboard::map(*file).value();
  auto worker = Scoreboard::map_slot(*file, 5).value();
  auto edge = Scoreboard::map_server(*file).value();
  worker.slot(5).heartbeat_ns = 7;
  edge.server().edge_heartbeat_ns = 8;
  EXPECT_EQ(all.slot(5).heartbeat_ns, 7U);
  EXPECT_EQ(all.server().edge_heartbeat_ns, 8U);
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  std::memset(static_cast<void*>(&worker.slot(5)), 0xff, page);
  EXPECT_EQ(all.slot(4).heartbeat_ns, 0U);
  EXPECT_EQ(all.slot(6).heartbeat_ns, 0U);
  EXPECT_EQ(all.server().edge_heartbeat_ns, 8U);
  EXPECT_FALSE(Scoreboard::map_slot(*file, Scoreboard::kSlots)) << "the edge's page";
}

TEST(Scoreboard, RefusesAFileOfAnotherSize) {
  const UniqueFd other(::memfd_create("other", MFD_CLOEXEC));
  ASSERT_EQ(::ftruncate(other.get(), 64), 0);
  EXPECT_FALSE(Scoreboard::map(other));
}

}  // namespace
}  // namespace saola::ipc
