#include "tests/unit/common/control/supervision_fixture.h"

namespace saola::control {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

class RollingTest : public SupervisionTest {
 protected:
  void reload(bool rolling = true) {
    supervision_->reload(rolling, [this](const auto& outcome) { outcomes_.push_back(outcome); });
  }
  // Up to the first new worker, which boots; the newest child is the last one.
  void reload_up_to_the_first_worker(std::size_t old) {
    reload();
    const auto number = await<ipc::EdgePrepare>(edge()).generation;
    edge().say(ipc::EdgePrepared{number});
    turn_until([&] { return workers() > old; }, "the first new worker");
  }
  FakeChild& newest() { return worker(workers() - 1); }
  void newest_is_ready() { newest().say(ipc::Ready{"wsgi", 1}); }
  // The edge is told that a worker leaves, has nothing for it, and it ends.
  void one_leaves() {
    const auto leaving = await<ipc::WorkerDrain>(edge());
    edge().say(ipc::WorkerIdle{leaving.worker_id});
    const auto number = std::to_string(leaving.worker_id);
    for (auto* child : launcher_.alive("worker")) {
      if (!child->title.ends_with(" " + number)) continue;
      await<ipc::Drain>(*child);
      child->exit(0);
      return;
    }
    FAIL() << "no worker " << number;
  }
  // Ready workers by generation, as `saola status` shows them.
  std::map<std::uint32_t, int> ready() {
    std::map<std::uint32_t, int> counts;
    for (const auto& one : supervision_->status().workers) {
      if (one.state == "ready") ++counts[one.generation];
    }
    return counts;
  }
  using Counts = std::map<std::uint32_t, int>;
  std::vector<Result<std::string>> outcomes_;
};

TEST_F(RollingTest, ReplacesWorkersOneByOne) {
  begin_serving(one_wsgi_app(3));
  next_config_ = one_wsgi_app(3);
  reload_up_to_the_first_worker(3);
  settle();
  EXPECT_EQ(workers(), 4U);
  newest_is_ready();
  const auto add = await<ipc::WorkerAdd>(edge());
  EXPECT_TRUE(add.standby);
  const auto commit = await<ipc::EdgeCommit>(edge());
  EXPECT_EQ(commit.generation, 2U);
  EXPECT_TRUE(commit.rolling);
  EXPECT_EQ(committed_, std::vector<std::uint32_t>{2});
  EXPECT_EQ(supervision_->status().state, "reloading");
  EXPECT_EQ(supervision_->status().generation, 2U);
  EXPECT_TRUE(outcomes_.empty());
  settle();
  EXPECT_EQ(workers(), 4U) << "the next one waits until an old one has ended";

  one_leaves();
  for (std::size_t i = 1; i < 3; ++i) {
    turn_until([&] { return workers() == 4; }, "the next new worker");
    EXPECT_EQ(ready(), (Counts{{1, 3 - static_cast<int>(i)}, {2, static_cast<int>(i)}}));
    EXPECT_TRUE(outcomes_.empty());
    newest_is_ready();
    EXPECT_FALSE(await<ipc::WorkerAdd>(edge()).standby) << "it serves at once";
    one_leaves();
  }
  ASSERT_EQ(outcomes_.size(), 1U);
  EXPECT_TRUE(outcomes_[0]);
  await_log("generation 1 has ended");
  EXPECT_EQ(workers(), 3U);
  EXPECT_EQ(ready(), (Counts{{2, 3}}));
  EXPECT_EQ(supervision_->status().state, "serving");
  EXPECT_EQ(supervision_->status().last_reload.value().succeeded, true);
  EXPECT_EQ(manager_, "serving reloading serving ");
}

TEST_F(RollingTest, StatusSaysWhoIsToLeave) {
  begin_serving(one_wsgi_app(2));
  next_config_ = one_wsgi_app(2);
  reload_up_to_the_first_worker(2);
  newest_is_ready();
  await<ipc::EdgeCommit>(edge());
  const Status status = supervision_->status();
  ASSERT_EQ(status.apps.size(), 1U) << "the new generation's alone";
  for (const auto& one : status.workers) {
    EXPECT_EQ(one.leaving_because, one.generation == 1 ? "reload" : "");
  }
}

TEST_F(RollingTest, AnAppThatCannotBeImportedCostsNobody) {
  begin_serving(one_wsgi_app(2));
  next_config_ = one_wsgi_app(2);
  reload_up_to_the_first_worker(2);
  newest().say(ipc::BootFailed{"Traceback\nImportError: no module", true});
  turn_until([&] { return !outcomes_.empty(); }, "the outcome");
  EXPECT_THAT(outcomes_[0].error().message, HasSubstr("generation 1 goes on"));
  EXPECT_THAT(outcomes_[0].error().message, HasSubstr("ImportError: no module"));
  await<ipc::EdgeAbandon>(edge());
  newest().exit(W_EXITCODE(3, 0));
  await_log("generation 2 has ended");
  EXPECT_EQ(ready(), (Counts{{1, 2}}));
  EXPECT_EQ(supervision_->status().state, "serving");
}

TEST_F(RollingTest, TheFirstWorkerMustAnswerAtReadyPath) {
  begin_serving(one_wsgi_app(2));
  config::Config config = one_wsgi_app(2);
  config.apps["app"].ready_path = "/ready";
  next_config_ = config;
  for (const std::uint32_t status : {503U, 200U}) {
    outcomes_.clear();
    reload_up_to_the_first_worker(2);
    newest_is_ready();
    const auto probe = await<ipc::WorkerProbe>(edge());
    settle();
    EXPECT_EQ(workers(), 3U) << "nobody else boots before it has answered";
    edge().say(ipc::WorkerProbed{probe.worker_id, status});
    if (status == 200) {
      await<ipc::EdgeCommit>(edge());
      return;
    }
    turn_until([&] { return !outcomes_.empty(); }, "the outcome");
    EXPECT_THAT(outcomes_[0].error().message, HasSubstr("ready_path answered 503"));
    newest().exit(0);
    EXPECT_EQ(ready(), (Counts{{1, 2}}));
  }
}

TEST_F(RollingTest, ALaterWorkerThatCannotStartIsTriedAgainAndNobodyElseLeaves) {
  begin_serving(one_wsgi_app(3));
  next_config_ = one_wsgi_app(3);
  reload_up_to_the_first_worker(3);
  newest_is_ready();
  one_leaves();
  for (int attempt = 0; attempt < 2; ++attempt) {
    turn_until([&] { return workers() == 4; }, "an attempt");
    EXPECT_EQ(ready(), (Counts{{1, 2}, {2, 1}}));
    newest().exit(W_EXITCODE(0, SIGSEGV));
    EXPECT_EQ(workers(), 3U) << "not at once";
  }
  EXPECT_TRUE(outcomes_.empty());
  EXPECT_THAT(sink_.text, HasSubstr("a new worker starts in 0.2 s"));
  turn_until([&] { return workers() == 4; }, "the third attempt");
  newest_is_ready();
  one_leaves();
  turn_until([&] { return workers() == 4; }, "the last new worker");
  newest_is_ready();
  one_leaves();
  ASSERT_EQ(outcomes_.size(), 1U);
  EXPECT_TRUE(outcomes_[0]);
}

TEST_F(RollingTest, AnOldWorkerThatDiesHalfWayIsReplacedInItsGeneration) {
  begin_serving(one_wsgi_app(3));
  next_config_ = one_wsgi_app(3);
  reload_up_to_the_first_worker(3);
  newest_is_ready();
  one_leaves();
  turn_until([&] { return workers() == 4; }, "the second new worker");
  worker(0).exit(W_EXITCODE(0, SIGKILL));
  turn_until([&] { return workers() == 4; }, "a replacement");
  EXPECT_EQ(await<ipc::WorkerInit>(newest()).generation, 1U);
}

TEST_F(RollingTest, BootConcurrencySaysHowManyAtATime) {
  begin_serving(one_wsgi_app(4));
  config::Config config = one_wsgi_app(4);
  config.apps["app"].boot_concurrency = 2;
  next_config_ = config;
  reload_up_to_the_first_worker(4);
  turn_until([&] { return workers() == 6; }, "two at a time");
  worker(4).say(ipc::Ready{"wsgi", 1});
  one_leaves();
  turn_until([&] { return workers() == 6; }, "the third");
  settle();
  EXPECT_EQ(workers(), 6U);
}

TEST_F(RollingTest, FewerOrMoreWorkersThanBefore) {
  begin_serving(one_wsgi_app(3));
  next_config_ = one_wsgi_app(1);
  reload_up_to_the_first_worker(3);
  newest_is_ready();
  turn_until([&] { return outcomes_.size() == 1; }, "the end: one is all there are");
  for (int i = 0; i < 3; ++i) one_leaves();
  EXPECT_EQ(ready(), (Counts{{2, 1}}));
  next_config_ = one_wsgi_app(3);
  reload_up_to_the_first_worker(1);
  newest_is_ready();
  one_leaves();
  for (std::size_t count = 2; count <= 3; ++count) {
    turn_until([&] { return workers() == count; }, "one more");
    newest_is_ready();
  }
  turn_until([&] { return outcomes_.size() == 2; }, "the end");
  EXPECT_EQ(ready(), (Counts{{3, 3}}));
}

TEST_F(RollingTest, AnAppThatComesAndOneThatGoes) {
  begin_serving(one_wsgi_app(1));
  config::Config config = one_wsgi_app(2);
  config.apps["next"] = config.apps["app"];
  config.apps.erase("app");
  next_config_ = config;
  reload_up_to_the_first_worker(1);
  newest_is_ready();
  await<ipc::EdgeCommit>(edge());
  turn_until([&] { return workers() == 3; }, "the other new worker");
  newest_is_ready();
  turn_until([&] { return outcomes_.size() == 1; }, "the end");
  edge().say(ipc::WorkerIdle{1});
  await<ipc::Drain>(worker(0));
  worker(0).exit(0);
  await_log("generation 1 has ended");
}

TEST_F(RollingTest, AnotherInterfaceCannotRoll) {
  begin_serving(one_wsgi_app(2));
  next_config_ = one_wsgi_app(2);
  reload_up_to_the_first_worker(2);
  newest().say(ipc::Ready{"asgi", 1});
  turn_until([&] { return !outcomes_.empty(); }, "the outcome");
  EXPECT_THAT(outcomes_[0].error().message, HasSubstr("becomes asgi from wsgi"));
  EXPECT_EQ(ready(), (Counts{{1, 2}}));
}

TEST_F(RollingTest, AReloadThatIsAskedForHalfWayTakesOver) {
  begin_serving(one_wsgi_app(2));
  next_config_ = one_wsgi_app(2);
  reload_up_to_the_first_worker(2);
  newest_is_ready();
  await<ipc::EdgeCommit>(edge());
  reload();
  EXPECT_EQ(await<ipc::EdgePrepare>(edge()).generation, 3U);
  edge().say(ipc::EdgePrepared{3});
  turn_until([&] { return workers() == 4; }, "the first of generation 3");
  EXPECT_TRUE(outcomes_.empty());
  newest_is_ready();
  EXPECT_EQ(await<ipc::EdgeCommit>(edge()).generation, 3U);
  ASSERT_EQ(outcomes_.size(), 1U);
  EXPECT_THAT(*outcomes_[0], HasSubstr("generation 3 took over"));
  // The last of generation 1, then the one of generation 2.
  one_leaves();
  turn_until(
      [&] {
        return ready() == Counts{{2, 1}, {3, 1}} || ready() == Counts{{1, 1}, {3, 1}};
      },
      "one old worker");
}

TEST_F(RollingTest, TheNextRollsFirstWorkerWaitsForWhatBootsAlready) {
  begin_serving(one_wsgi_app(2));
  next_config_ = one_wsgi_app(2);
  reload_up_to_the_first_worker(2);
  newest_is_ready();
  one_leaves();
  turn_until([&] { return workers() == 3; }, "the second of generation 2");
  reload();
  await<ipc::EdgePrepare>(edge());
  edge().say(ipc::EdgePrepared{3});
  await_log("generation 3 boots");
  settle();
  EXPECT_EQ(workers(), 3U);
  newest_is_ready();
  turn_until([&] { return workers() == 4; }, "the first of generation 3");
  EXPECT_EQ(await<ipc::WorkerInit>(newest()).generation, 3U);
}

TEST_F(RollingTest, AWholeReloadHalfWayTakesOverInOneStep) {
  begin_serving(one_wsgi_app(2));
  next_config_ = one_wsgi_app(2);
  reload_up_to_the_first_worker(2);
  newest_is_ready();
  one_leaves();
  turn_until([&] { return workers() == 3; }, "the second of generation 2");
  reload(false);
  await<ipc::EdgePrepare>(edge());
  edge().say(ipc::EdgePrepared{3});
  turn_until([&] { return workers() == 4; }, "the first of generation 3");
  newest_is_ready();
  turn_until([&] { return workers() == 5; }, "the second of generation 3");
  newest_is_ready();
  const auto commit = await<ipc::EdgeCommit>(edge());
  EXPECT_FALSE(commit.rolling);
  ASSERT_EQ(outcomes_.size(), 2U);
  EXPECT_THAT(*outcomes_[0], HasSubstr("generation 3 took over"));
  EXPECT_THAT(*outcomes_[1], HasSubstr("generation 3 serves"));
  EXPECT_EQ(ready(), (Counts{{3, 2}}));
}

TEST_F(RollingTest, AReloadThatFailsHalfWayLetsTheRollGoOn) {
  begin_serving(one_wsgi_app(2));
  next_config_ = one_wsgi_app(2);
  reload_up_to_the_first_worker(2);
  newest_is_ready();
  one_leaves();
  turn_until([&] { return workers() == 3; }, "the second of generation 2");
  next_config_ = fail("saola.toml:1:1: unknown key");
  reload();
  ASSERT_EQ(outcomes_.size(), 1U);
  EXPECT_THAT(outcomes_[0].error().message, HasSubstr("generation 2 goes on"));
  newest_is_ready();
  one_leaves();
  turn_until([&] { return outcomes_.size() == 2; }, "the end of the roll");
  EXPECT_TRUE(outcomes_[1]);
  EXPECT_EQ(ready(), (Counts{{2, 2}}));
}

TEST_F(RollingTest, AStopHalfWayEndsEverybody) {
  begin_serving(one_wsgi_app(2));
  next_config_ = one_wsgi_app(2);
  reload_up_to_the_first_worker(2);
  newest_is_ready();
  await<ipc::EdgeCommit>(edge());
  supervision_->begin_stop("SIGTERM");
  ASSERT_EQ(outcomes_.size(), 1U);
  EXPECT_THAT(outcomes_[0].error().message, HasSubstr("the server stops"));
  edge().say(ipc::Drained{});
  turn_until([&] { return supervision_->status().state == "draining"; }, "the drain");
  edge().exit(0);
  while (workers() > 0) {
    await<ipc::Drain>(newest());
    newest().exit(0);
  }
  EXPECT_EQ(supervision_->run(), 0);
}

TEST_F(RollingTest, TheEdgesDeathHalfWayChangesNothing) {
  begin_serving(one_wsgi_app(2));
  next_config_ = one_wsgi_app(2);
  reload_up_to_the_first_worker(2);
  newest_is_ready();
  await<ipc::EdgeCommit>(edge());
  edge().exit(W_EXITCODE(0, SIGSEGV));
  // Nobody answers through the worker that was leaving any more.
  turn_until([&] { return !launcher_.alive("edge").empty(); }, "the new edge");
  edge().say(ipc::Ready{});
  EXPECT_FALSE(await<ipc::WorkerAdd>(edge()).standby);
  EXPECT_FALSE(await<ipc::WorkerAdd>(edge()).standby);
  EXPECT_TRUE(outcomes_.empty());
  await<ipc::Drain>(worker(1));
  worker(1).exit(0);
  turn_until([&] { return workers() == 3; }, "the second new worker");
  newest_is_ready();
  one_leaves();
  ASSERT_EQ(outcomes_.size(), 1U);
  EXPECT_TRUE(outcomes_[0]);
}

TEST_F(RollingTest, OtherChangesWaitUntilItIsOver) {
  begin_serving(one_wsgi_app(2));
  next_config_ = one_wsgi_app(2);
  reload_up_to_the_first_worker(2);
  newest_is_ready();
  await<ipc::EdgeCommit>(edge());
  EXPECT_FALSE(supervision_->scale("app", 5));
  supervision_->recycle(3, [this](const auto& outcome) { outcomes_.push_back(outcome); });
  supervision_->upgrade([this](const auto& outcome) { outcomes_.push_back(outcome); });
  ASSERT_EQ(outcomes_.size(), 2U);
  EXPECT_THAT(outcomes_[0].error().message, HasSubstr("a rolling reload is under way"));
  EXPECT_THAT(outcomes_[1].error().message, HasSubstr("a reload is under way"));
}

}  // namespace
}  // namespace saola::control
