#include "common/control/process_memory.h"
#include "tests/support/temporary_directory.h"
#include "tests/unit/common/control/supervision_fixture.h"

namespace saola::control {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;
using testing::HasSubstr;

nanoseconds now_ns() { return std::chrono::steady_clock::now().time_since_epoch(); }

class RecyclingTest : public SupervisionTest {
 protected:
  // The successor of worker `index` has started and is ready.
  std::uint32_t successor_serves(std::size_t before) {
    turn_until([&] { return workers() == before + 1; }, "the successor");
    worker(before).say(ipc::Ready{"wsgi", 1});
    const auto add = await<ipc::WorkerAdd>(edge());
    EXPECT_FALSE(add.standby);
    return add.worker_id;
  }
};

TEST_F(RecyclingTest, AWorkerLeavesWhenItsSuccessorServes) {
  config::Config config = one_wsgi_app(1);
  config.apps["app"].max_requests = 10;
  begin_serving(config);
  memory_.scoreboard().slot(0).requests_started = 9;
  settle();
  EXPECT_EQ(workers(), 1U);
  memory_.scoreboard().slot(0).requests_started = 10;
  turn_until([&] { return workers() == 2; }, "the successor");
  settle();
  EXPECT_TRUE(edge().heard_nothing()) << "the old one serves until the new one is ready";
  EXPECT_EQ(supervision_->status().workers.at(0).leaving_because, "max_requests");
  EXPECT_EQ(successor_serves(1), 2U);
  EXPECT_EQ(await<ipc::WorkerDrain>(edge()).worker_id, 1U);
  EXPECT_TRUE(worker(0).heard_nothing());
  edge().say(ipc::WorkerIdle{1});
  await<ipc::Drain>(worker(0));
  worker(0).exit(0);
  settle();
  EXPECT_EQ(workers(), 1U);
  EXPECT_THAT(sink_.text, HasSubstr("has ended, because of max_requests"));
  const auto recycled = supervision_->status().apps.at(0).recycled;
  EXPECT_EQ(recycled, (std::vector<std::pair<std::string, std::uint64_t>>{{"max_requests", 1}}));
}

TEST_F(RecyclingTest, OneWorkerAtATime) {
  config::Config config = one_wsgi_app(3);
  config.apps["app"].max_requests = 10;
  begin_serving(config);
  for (std::size_t slot = 0; slot < 3; ++slot)
    memory_.scoreboard().slot(slot).requests_started = 50;
  turn_until([&] { return workers() == 4; }, "one successor");
  settle();
  successor_serves(3);
  const auto left = await<ipc::WorkerDrain>(edge()).worker_id;
  settle();
  EXPECT_EQ(workers(), 4U) << "the first is still leaving";
  edge().say(ipc::WorkerIdle{left});
  await<ipc::Drain>(worker(0));
  worker(0).exit(0);
  turn_until([&] { return workers() == 4; }, "the next successor");
}

TEST_F(RecyclingTest, EachThatIsDueGetsItsTurn) {
  config::Config config = one_wsgi_app(2);
  config.apps["app"].max_requests = 10;
  begin_serving(config);
  // Whoever serves is due, its successors too.
  const auto all_due = [this] {
    for (std::size_t slot = 0; slot < 3; ++slot)
      memory_.scoreboard().slot(slot).requests_started = 50;
  };
  all_due();
  for (const std::uint32_t expected : {1U, 2U, 3U}) {
    successor_serves(2);
    all_due();
    EXPECT_EQ(await<ipc::WorkerDrain>(edge()).worker_id, expected);
    edge().say(ipc::WorkerIdle{expected});
    await<ipc::Drain>(worker(0));
    worker(0).exit(0);
  }
}

TEST_F(RecyclingTest, ASuccessorThatCannotStartLeavesTheOldOneServing) {
  config::Config config = one_wsgi_app(1);
  config.apps["app"].max_requests = 10;
  begin_serving(config);
  memory_.scoreboard().slot(0).requests_started = 10;
  turn_until([&] { return workers() == 2; }, "the successor");
  worker(1).say(ipc::BootFailed{"ImportError", true});
  worker(1).exit(W_EXITCODE(3, 0));
  turn_until([&] { return workers() == 2; }, "the next attempt");
  EXPECT_TRUE(edge().heard_nothing());
  successor_serves(1);
  EXPECT_EQ(await<ipc::WorkerDrain>(edge()).worker_id, 1U);
}

TEST_F(RecyclingTest, ADeathDuringTheRecyclingIsReplacedByTheSuccessor) {
  config::Config config = one_wsgi_app(1);
  config.apps["app"].max_requests = 10;
  begin_serving(config);
  memory_.scoreboard().slot(0).requests_started = 10;
  turn_until([&] { return workers() == 2; }, "the successor");
  worker(0).exit(W_EXITCODE(0, SIGKILL));
  worker(0).say(ipc::Ready{"wsgi", 1});
  await_log("all workers serve again");
  settle();
  EXPECT_EQ(workers(), 1U);
}

TEST_F(RecyclingTest, ARequestThatIgnoresItsTimeOutCostsTheWorkerAfterItsSuccessorIsReady) {
  begin_serving(one_wsgi_app(1));
  edge().say(ipc::WorkerOverdue{1, "GET /slow (id abc) has ignored its time-out for 5 s"});
  EXPECT_THAT(await<ipc::DumpStacks>(worker(0)).why, HasSubstr("GET /slow (id abc)"));
  successor_serves(1);
  EXPECT_EQ(await<ipc::WorkerDrain>(edge()).worker_id, 1U);
  edge().say(ipc::WorkerIdle{1});
  EXPECT_LE(await<ipc::Drain>(worker(0)).timeout_ms, 2000U);
  EXPECT_EQ(supervision_->status().workers.at(0).leaving_because, "timeout");
}

TEST_F(RecyclingTest, AWorkerWithoutASignOfLifeIsKilledOnceItsSuccessorIsReady) {
  config::Config config = one_wsgi_app(1);
  config.apps["app"].hang_timeout = seconds(1);
  begin_serving(config);
  memory_.scoreboard().slot(0).heartbeat_ns =
      static_cast<std::uint64_t>((now_ns() - nanoseconds(seconds(60))).count());
  await<ipc::DumpStacks>(worker(0));
  EXPECT_TRUE(worker(0).signals.empty());
  successor_serves(1);
  turn_until([&] { return !worker(0).signals.empty(); }, "the kill");
  EXPECT_EQ(worker(0).signals, std::vector<int>{SIGKILL});
  EXPECT_THAT(sink_.text, HasSubstr("no sign of life"));
}

TEST_F(RecyclingTest, AnEdgeWithoutASignOfLifeIsKilledAndReplaced) {
  config::Config config = one_wsgi_app(1);
  config.server.edge_hang_timeout = seconds(2);
  begin_serving(config);
  auto& heartbeat = memory_.scoreboard().server().edge_heartbeat_ns;
  heartbeat = static_cast<std::uint64_t>((now_ns() - nanoseconds(seconds(60))).count());
  turn_until([&] { return !edge().signals.empty(); }, "the kill");
  EXPECT_EQ(edge().signals, std::vector<int>{SIGKILL});
  EXPECT_THAT(sink_.text, HasSubstr("no sign of life for 2.0 s (server.edge_hang_timeout)"));
  edge().exit(W_EXITCODE(0, SIGKILL));
  turn_until([&] { return launcher_.alive("edge").size() == 1; }, "the next edge");
  EXPECT_EQ(heartbeat, 0U) << "the new one has not beaten yet";
}

TEST_F(RecyclingTest, WithoutEdgeHangTimeoutNobodyLooks) {
  config::Config config = one_wsgi_app(1);
  config.server.edge_hang_timeout = seconds(0);
  config.apps["app"].max_age = std::chrono::milliseconds(1200);
  begin_serving(config);
  memory_.scoreboard().server().edge_heartbeat_ns = 1;
  // A look at the workers' age is a look at the edge, too.
  turn_until([&] { return workers() == 2; }, "two looks");
  EXPECT_TRUE(edge().signals.empty());
}

TEST_F(RecyclingTest, OneThatComesBackToLifeMeanwhileLeavesInPeace) {
  config::Config config = one_wsgi_app(1);
  config.apps["app"].hang_timeout = seconds(1);
  begin_serving(config);
  memory_.scoreboard().slot(0).heartbeat_ns =
      static_cast<std::uint64_t>((now_ns() - nanoseconds(seconds(60))).count());
  await<ipc::DumpStacks>(worker(0));
  memory_.scoreboard().slot(0).heartbeat_ns =
      static_cast<std::uint64_t>((now_ns() + seconds(60)).count());
  successor_serves(1);
  EXPECT_EQ(await<ipc::WorkerDrain>(edge()).worker_id, 1U);
  EXPECT_TRUE(worker(0).signals.empty());
}

TEST_F(RecyclingTest, ScalesUpAndDown) {
  begin_serving(one_wsgi_app(2));
  EXPECT_TRUE(supervision_->scale("app", 3));
  turn_until([&] { return workers() == 3; }, "one more");
  worker(2).say(ipc::Ready{"wsgi", 1});
  await<ipc::WorkerAdd>(edge());
  EXPECT_TRUE(supervision_->scale("", 1));
  EXPECT_EQ(await<ipc::WorkerDrain>(edge()).worker_id, 3U) << "the youngest first";
  EXPECT_EQ(await<ipc::WorkerDrain>(edge()).worker_id, 2U);
  for (const std::uint32_t id : {3U, 2U}) edge().say(ipc::WorkerIdle{id});
  await<ipc::Drain>(worker(1));
  await<ipc::Drain>(worker(2));
  worker(2).exit(0);
  worker(1).exit(0);
  settle();
  EXPECT_EQ(workers(), 1U);
  supervision_->scale_by(-1);
  EXPECT_EQ(supervision_->status().apps.at(0).workers, 1) << "one stays";
  EXPECT_THAT(supervision_->scale("app", 0).error().message, HasSubstr("from 1 to 1024"));
  EXPECT_THAT(supervision_->scale("other", 2).error().message, HasSubstr("no app 'other'"));
}

TEST_F(RecyclingTest, FollowsTheLoadBetweenTwoNumbers) {
  config::Config config = one_wsgi_app(1);
  config.apps["app"].workers_max = 2;
  begin_serving(config);
  for (int look = 0; look < 2; ++look) {
    await<ipc::EdgeInspect>(edge());
    ipc::EdgeReport report;
    report.apps.push_back({"app", 5, 0.5, 1});
    edge().say(report);
  }
  turn_until([&] { return workers() == 2; }, "one more");
  EXPECT_EQ(supervision_->status().apps.at(0).workers_max, 2);
}

TEST_F(RecyclingTest, TellsWhenEveryWorkerHasWrittenItsStacks) {
  begin_serving(one_wsgi_app(2));
  std::optional<Result<std::string>> outcome;
  supervision_->dump_stacks(std::nullopt, [&](const auto& said) { outcome = said; });
  for (std::size_t i = 0; i < 2; ++i) await<ipc::DumpStacks>(worker(i));
  worker(0).say(ipc::StacksDumped{});
  settle();
  EXPECT_FALSE(outcome) << "one is missing";
  worker(1).exit(W_EXITCODE(0, SIGKILL));
  turn_until([&] { return outcome.has_value(); }, "the outcome");
  EXPECT_TRUE(*outcome) << "who has gone is not waited for";
  outcome.reset();
  supervision_->dump_stacks(99, [&](const auto& said) { outcome = said; });
  EXPECT_THAT(outcome.value().error().message, HasSubstr("no such worker"));
}

TEST_F(RecyclingTest, ReplacesAWorkerThatSomebodyNames) {
  begin_serving(one_wsgi_app(1));
  std::optional<Result<std::string>> outcome;
  const auto note = [&](const auto& said) { outcome = said; };
  supervision_->recycle(7, note);
  EXPECT_THAT(outcome.value().error().message, HasSubstr("no worker 7"));
  supervision_->recycle(1, note);
  EXPECT_TRUE(outcome.value());
  successor_serves(1);
  EXPECT_EQ(await<ipc::WorkerDrain>(edge()).worker_id, 1U);
}

TEST(RecyclePolicyTest, CountsMemoryAndAge) {
  config::App app;
  EXPECT_EQ(RecyclePolicy(app, 0.5).due({1'000'000, std::uint64_t{1} << 40, seconds(1'000'000)}),
            LeaveReason::kNone);
  app.max_requests = 100;
  app.max_requests_jitter = 10;
  EXPECT_EQ(RecyclePolicy(app, 0.0).max_requests(), 100U);
  EXPECT_EQ(RecyclePolicy(app, 0.999).max_requests(), 110U);
  app.max_memory = 1000;
  app.max_age = seconds(60);
  const RecyclePolicy policy(app, 0.0);
  EXPECT_EQ(policy.due({99, 1000, seconds(59)}), LeaveReason::kNone);
  EXPECT_EQ(policy.due({100, 0, {}}), LeaveReason::kMaxRequests);
  EXPECT_EQ(policy.due({0, 1001, {}}), LeaveReason::kMaxMemory);
  EXPECT_EQ(policy.due({0, 0, seconds(60)}), LeaveReason::kMaxAge);
}

TEST(HangTest, ALoopThatDoesNotTurnIsHungAThreadThatDoesNotIsBusy) {
  const auto now = Clock::time_point(seconds(1000));
  const auto at = [](int second) { return nanoseconds(seconds(second)); };
  EXPECT_FALSE(is_hung(now, at(990), at(10), false, seconds(30)));
  EXPECT_TRUE(is_hung(now, at(990), at(10), true, seconds(30)));
  EXPECT_TRUE(is_hung(now, at(900), at(995), true, seconds(30)));
  EXPECT_FALSE(is_hung(now, at(0), at(0), true, seconds(30))) << "it has not begun";
  EXPECT_FALSE(is_hung(now, at(5000), at(5000), true, seconds(30))) << "what a worker scribbles";
  EXPECT_FALSE(is_hung(now, at(1), at(1), true, seconds(0))) << "off";
}

TEST(ProcessMemoryTest, ReadsPssOrElseRss) {
  test::TemporaryDirectory proc;
  std::filesystem::create_directory(proc.path("42"));
  proc.write("42/statm", "1000 200 50 10 0 90 0\n");
  const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  EXPECT_EQ(used_memory(42, proc.path("")), 200 * page);
  proc.write("42/smaps_rollup",
             "55d0-7ffe ---p 00000000 00:00 0 [rollup]\nRss:  9000 kB\nPss:  123 kB\n");
  EXPECT_EQ(used_memory(42, proc.path("")), 123U * 1024);
  EXPECT_EQ(resident_memory(42, proc.path("")), 200 * page);
  EXPECT_EQ(used_memory(43, proc.path("")), 0U) << "it has gone";
  EXPECT_GT(used_memory(::getpid()), 100'000U);
}

}  // namespace
}  // namespace saola::control
