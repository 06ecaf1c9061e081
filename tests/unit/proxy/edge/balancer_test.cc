#include "proxy/balancer.h"

#include <gtest/gtest.h>

#include <vector>

namespace saola::proxy {
namespace {

WorkerLoad worker(std::uint32_t slots, std::uint32_t outstanding) {
  WorkerLoad load;
  load.slots = slots;
  load.outstanding = outstanding;
  load.prefetch = 4;
  load.accepts = true;
  return load;
}

std::size_t pick(const std::vector<WorkerLoad>& loads, std::size_t start = 0) {
  std::vector<const WorkerLoad*> pointers;
  for (const auto& load : loads) pointers.push_back(&load);
  return pick_worker(pointers, start);
}

TEST(Balancer, NobodyToPickFromIsNone) { EXPECT_EQ(pick({}), kNone); }

TEST(Balancer, TakesTheWorkerWithMostFreeSlots) {
  EXPECT_EQ(pick({worker(10, 9), worker(10, 2), worker(10, 5)}), 1U);
}

TEST(Balancer, EqualWorkersTakeTurns) {
  const std::vector<WorkerLoad> loads = {worker(1, 0), worker(1, 0), worker(1, 0)};
  EXPECT_EQ(pick(loads, 0), 0U);
  EXPECT_EQ(pick(loads, 1), 1U);
  EXPECT_EQ(pick(loads, 5), 2U);
}

TEST(Balancer, AnIdleWorkerComesBeforeSendingAhead) {
  auto busy = worker(1, 1);
  busy.lively = true;
  EXPECT_EQ(pick({busy, worker(1, 0)}), 1U);
}

TEST(Balancer, SendsAheadOnlyToWorkersThatAnswerQuickly) {
  auto slow = worker(1, 1);
  auto quick = worker(1, 3);
  EXPECT_EQ(pick({slow, quick}), kNone);
  quick.lively = true;
  EXPECT_EQ(pick({slow, quick}), 1U);
  quick.outstanding = 5;  // slots + prefetch
  EXPECT_EQ(pick({slow, quick}), kNone);
}

TEST(Balancer, ADrainingWorkerGetsNothing) {
  auto draining = worker(1, 0);
  draining.accepts = false;
  EXPECT_EQ(pick({draining}), kNone);
}

TEST(Balancer, AStalledWorkerIsTheLastResort) {
  auto stalled = worker(100, 3);
  stalled.stalled = true;
  EXPECT_EQ(pick({stalled, worker(100, 99)}), 1U);
  EXPECT_EQ(pick({stalled, worker(100, 100)}), 0U);
}

}  // namespace
}  // namespace saola::proxy
