#include "common/control/worker_lifecycle.h"

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <csignal>

namespace saola::control {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Time = Clock::time_point;

// Time is a value: no test waits.
const Time kStart{seconds(1000)};

WorkerLifecycle ready_worker() {
  WorkerLifecycle worker(kStart, seconds(60));
  EXPECT_TRUE(worker.on_ready(kStart + seconds(1)));
  return worker;
}

TEST(WorkerLifecycle, KillsAWorkerThatDoesNotBecomeReadyInTime) {
  WorkerLifecycle worker(kStart, seconds(60));
  EXPECT_EQ(worker.next_deadline(), kStart + seconds(60));
  EXPECT_EQ(worker.on_tick(kStart + milliseconds(59999)), WorkerAction::kNone);
  EXPECT_EQ(worker.on_tick(kStart + seconds(60)), WorkerAction::kKill);
  EXPECT_TRUE(worker.boot_timed_out());
  EXPECT_EQ(worker.on_tick(kStart + seconds(61)), WorkerAction::kNone);
  worker.on_exit(kStart + seconds(61));
  EXPECT_EQ(worker.death(W_EXITCODE(0, SIGKILL)), Death::kBeforeReady);
}

TEST(WorkerLifecycle, WithoutBootTimeoutWaitsForEver) {
  const WorkerLifecycle worker(kStart, Clock::duration::zero());
  EXPECT_EQ(worker.next_deadline(), Time::max());
}

TEST(WorkerLifecycle, AReadyWorkerHasNoDeadline) {
  WorkerLifecycle worker = ready_worker();
  EXPECT_EQ(worker.state(), WorkerState::kReady);
  EXPECT_EQ(worker.next_deadline(), Time::max());
  EXPECT_EQ(worker.on_tick(kStart + seconds(100000)), WorkerAction::kNone);
}

TEST(WorkerLifecycle, DrainsThenStopsThenKills) {
  WorkerLifecycle worker = ready_worker();
  const Time now = kStart + seconds(10);
  EXPECT_EQ(worker.drain(now, now + seconds(30)), WorkerAction::kSendDrain);
  EXPECT_EQ(worker.on_tick(now + seconds(29)), WorkerAction::kNone);
  EXPECT_EQ(worker.on_tick(now + seconds(30)), WorkerAction::kSendStop);
  EXPECT_EQ(worker.next_deadline(), now + seconds(30) + WorkerLifecycle::kStopGrace);
  EXPECT_EQ(worker.on_tick(worker.next_deadline()), WorkerAction::kKill);
  worker.on_exit(now + seconds(33));
  EXPECT_EQ(worker.state(), WorkerState::kExited);
  EXPECT_EQ(worker.death(W_EXITCODE(0, SIGKILL)), Death::kAsked);
}

TEST(WorkerLifecycle, DrainingABootingWorkerStopsIt) {
  WorkerLifecycle worker(kStart, seconds(60));
  EXPECT_EQ(worker.drain(kStart, kStart + seconds(30)), WorkerAction::kSendStop);
  EXPECT_EQ(worker.state(), WorkerState::kStopping);
  EXPECT_FALSE(worker.on_ready(kStart + seconds(1))) << "too late";
}

TEST(WorkerLifecycle, ALaterStopOnlyEverShortensTheTime) {
  WorkerLifecycle worker = ready_worker();
  EXPECT_EQ(worker.drain(kStart, kStart + seconds(30)), WorkerAction::kSendDrain);
  EXPECT_EQ(worker.drain(kStart, kStart + seconds(90)), WorkerAction::kNone);
  EXPECT_EQ(worker.next_deadline(), kStart + seconds(30));
  EXPECT_EQ(worker.stop(kStart, seconds(2)), WorkerAction::kSendStop);
  EXPECT_EQ(worker.stop(kStart, milliseconds(300)), WorkerAction::kNone);
  EXPECT_EQ(worker.next_deadline(), kStart + milliseconds(300));
  EXPECT_EQ(worker.stop(kStart, seconds(9)), WorkerAction::kNone);
  EXPECT_EQ(worker.next_deadline(), kStart + milliseconds(300));
}

struct DeathCase {
  const char* what;
  bool ready;
  int wait_status;
  Death expected;
};

TEST(WorkerLifecycle, TellsKindsOfDeathApart) {
  const DeathCase cases[] = {
      {"exit before ready", false, W_EXITCODE(1, 0), Death::kBeforeReady},
      {"kill -9 before ready", false, W_EXITCODE(0, SIGKILL), Death::kBeforeReady},
      {"kill -9 after ready", true, W_EXITCODE(0, SIGKILL), Death::kOutside},
      {"SIGTERM after ready", true, W_EXITCODE(0, SIGTERM), Death::kOutside},
      {"fault after ready", true, W_EXITCODE(0, SIGSEGV), Death::kCrash},
      {"exit 0 after ready", true, W_EXITCODE(0, 0), Death::kCrash},
  };
  for (const auto& c : cases) {
    WorkerLifecycle worker(kStart, seconds(60));
    if (c.ready) {
      ASSERT_TRUE(worker.on_ready(kStart + seconds(1)));
    }
    worker.on_exit(kStart + seconds(8));
    EXPECT_EQ(worker.death(c.wait_status), c.expected) << c.what;
    EXPECT_EQ(worker.served(), c.ready ? seconds(7) : seconds(0)) << c.what;
  }
}

TEST(WorkerLifecycle, AKilledWorkerWhoseConnectionWasSeenToBreakFirstStillDiedFromOutside) {
  WorkerLifecycle worker = ready_worker();
  EXPECT_EQ(worker.give_up(kStart + seconds(2), seconds(5)), WorkerAction::kSendStop);
  // A stop that follows does not turn the death into one that was asked for.
  EXPECT_EQ(worker.stop(kStart + seconds(2)), WorkerAction::kNone);
  worker.on_exit(kStart + seconds(2));
  EXPECT_EQ(worker.death(W_EXITCODE(0, SIGKILL)), Death::kOutside);
}

TEST(WorkerLifecycle, AWorkerThatHadToBeKilledAfterItsConnectionBrokeCrashed) {
  WorkerLifecycle worker = ready_worker();
  EXPECT_EQ(worker.give_up(kStart + seconds(2), seconds(5)), WorkerAction::kSendStop);
  EXPECT_EQ(worker.on_tick(kStart + seconds(7)), WorkerAction::kKill);
  worker.on_exit(kStart + seconds(7));
  EXPECT_EQ(worker.death(W_EXITCODE(0, SIGKILL)), Death::kCrash);
}

}  // namespace
}  // namespace saola::control
