// Who may run a request: exactly one of the edge and the worker.
#include "common/ipc/claim_table.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "common/ipc/frame.h"

namespace saola::ipc {
namespace {

struct Tables {
  UniqueFd file = ClaimTable::create_file(64).value();
  ClaimTable edge = ClaimTable::map(file).value();
  ClaimTable worker = ClaimTable::map(file).value();
};

TEST(ClaimTable, LetsTheWorkerClaimAnOfferOnce) {
  Tables t;
  EXPECT_EQ(t.edge.slots(), 64U);
  t.edge.offer(3, 0x50003);
  EXPECT_TRUE(t.worker.is_offered(3, 0x50003));
  EXPECT_TRUE(t.worker.claim(3, 0x50003));
  EXPECT_FALSE(t.worker.claim(3, 0x50003));
  EXPECT_FALSE(t.edge.take_back(3, 0x50003));
  EXPECT_FALSE(t.edge.is_offered(3, 0x50003));
}

TEST(ClaimTable, LetsTheEdgeTakeAnUnclaimedRequestBackOnce) {
  Tables t;
  t.edge.offer(0, 7);
  EXPECT_TRUE(t.edge.take_back(0, 7));
  EXPECT_FALSE(t.edge.take_back(0, 7));
  EXPECT_FALSE(t.worker.claim(0, 7));
}

TEST(ClaimTable, DoesNotMistakeAReusedSlotForTheOldStream) {
  Tables t;
  const auto old_stream = make_stream(1, 5), new_stream = make_stream(2, 5);
  t.edge.offer(5, old_stream);
  ASSERT_TRUE(t.edge.take_back(5, old_stream));
  t.edge.offer(5, new_stream);
  EXPECT_FALSE(t.worker.claim(5, old_stream));
  EXPECT_TRUE(t.worker.claim(5, new_stream));
}

TEST(ClaimTable, TellsTheEdgesWordsFromAnybodyElses) {
  Tables t;
  const auto stream = make_stream(9, 5);
  EXPECT_FALSE(t.worker.is_the_edges(5)) << "cleared";
  t.edge.offer(5, stream);
  EXPECT_TRUE(t.worker.is_the_edges(5));
  ASSERT_TRUE(t.edge.take_back(5, stream));
  EXPECT_TRUE(t.worker.is_the_edges(5));
  t.edge.offer(5, make_stream(10, 6));
  EXPECT_FALSE(t.worker.is_the_edges(5)) << "another slot's";
  auto* words = static_cast<std::uint64_t*>(::mmap(
      nullptr, 64 * sizeof(std::uint64_t), PROT_READ | PROT_WRITE, MAP_SHARED, t.file.get(), 0));
  ASSERT_NE(words, MAP_FAILED);
  const std::uint64_t offered = std::uint64_t{stream} << 8 | 1;
  for (const std::uint64_t word : {offered | std::uint64_t{1} << 40, offered + 1, offered + 3,
                                   ~std::uint64_t{0}, std::uint64_t{0}}) {
    words[5] = word;
    EXPECT_FALSE(t.worker.is_the_edges(5)) << word;
    EXPECT_FALSE(t.edge.take_back(5, stream)) << word;
  }
  ::munmap(words, 64 * sizeof(std::uint64_t));
}

TEST(ClaimTable, StartsWithNothingOffered) {
  Tables t;
  for (std::size_t slot = 0; slot < t.edge.slots(); ++slot) {
    EXPECT_FALSE(t.worker.claim(slot, 0));
    EXPECT_FALSE(t.edge.is_offered(slot, 0));
  }
}

TEST(ClaimTable, TakesScribblesOfAWorkerForClaims) {
  Tables t;
  auto* words = static_cast<std::uint64_t*>(
      ::mmap(nullptr, 64 * 8, PROT_READ | PROT_WRITE, MAP_SHARED, t.file.get(), 0));
  ASSERT_NE(words, MAP_FAILED);
  for (const std::uint64_t scribble : {std::uint64_t{0}, ~std::uint64_t{0},
                                       std::uint64_t{9} << 8 | 1, std::uint64_t{4} << 8 | 7}) {
    t.edge.offer(1, 4);
    words[1] = scribble;
    EXPECT_FALSE(t.edge.take_back(1, 4)) << scribble;
    EXPECT_FALSE(t.edge.is_offered(1, 4)) << scribble;
  }
  ::munmap(words, 64 * 8);
}

TEST(ClaimTable, GivesEachRequestToExactlyOneSideUnderContention) {
  constexpr std::uint32_t kRounds = 20'000;
  Tables t;
  std::atomic<std::uint32_t> turn{0};
  std::vector<char> claimed(kRounds + 1);
  std::thread worker([&] {
    for (std::uint32_t round = 1; round <= kRounds; ++round) {
      while (turn.load(std::memory_order_acquire) < round) std::this_thread::yield();
      claimed[round] = t.worker.claim(9, round) ? 1 : 0;
      turn.fetch_add(kRounds, std::memory_order_acq_rel);  // done: the edge's next store resets it
      while (turn.load(std::memory_order_acquire) >= kRounds + round) std::this_thread::yield();
    }
  });
  for (std::uint32_t round = 1; round <= kRounds; ++round) {
    t.edge.offer(9, round);
    turn.store(round, std::memory_order_release);
    const bool taken = t.edge.take_back(9, round);
    while (turn.load(std::memory_order_acquire) < kRounds + round) std::this_thread::yield();
    EXPECT_NE(taken, claimed[round] == 1) << round;
    turn.store(round, std::memory_order_release);
  }
  worker.join();
}

TEST(ClaimTable, ShowsWhatAKilledWorkerHadClaimed) {
  Tables t;
  t.edge.offer(1, 1);
  t.edge.offer(2, 2);
  const pid_t child = ::fork();
  if (child == 0) {
    t.worker.claim(1, 1);
    ::_exit(0);
  }
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  EXPECT_FALSE(t.edge.take_back(1, 1));
  EXPECT_TRUE(t.edge.take_back(2, 2));
}

TEST(ClaimTable, CannotBeResizedByTheOtherSide) {
  Tables t;
  EXPECT_NE(::ftruncate(t.file.get(), 8), 0);
  EXPECT_NE(::ftruncate(t.file.get(), 1 << 20), 0);
  EXPECT_NE(::fcntl(t.file.get(), F_ADD_SEALS, F_SEAL_WRITE), 0);
}

TEST(ClaimTable, RefusesAFileOfAnImpossibleSize) {
  UniqueFd empty(::memfd_create("empty", MFD_CLOEXEC));
  EXPECT_FALSE(ClaimTable::map(empty));
  UniqueFd huge(::memfd_create("huge", MFD_CLOEXEC));
  ASSERT_EQ(::ftruncate(huge.get(), (ClaimTable::kMaxSlots + 1) * 8), 0);
  EXPECT_FALSE(ClaimTable::map(huge));
  EXPECT_FALSE(ClaimTable::map(UniqueFd()));
}

TEST(ClaimTable, MovesItsMapping) {
  Tables t;
  ClaimTable moved = std::move(t.edge);
  moved.offer(0, 1);
  EXPECT_TRUE(t.worker.claim(0, 1));
}

}  // namespace
}  // namespace saola::ipc
