#include "tests/unit/common/control/supervision_fixture.h"

namespace saola::control {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

class ReloadTest : public SupervisionTest {
 protected:
  void reload() {
    supervision_->reload(false, [this](const auto& outcome) { outcomes_.push_back(outcome); });
  }
  // The edge takes the new configuration, and the first new worker starts.
  void reload_up_to_the_workers() {
    reload();
    await<ipc::EdgePrepare>(edge());
    edge().say(ipc::EdgePrepared{2});
    turn_until([&] { return workers() == 2; }, "a new worker");
  }
  std::vector<Result<std::string>> outcomes_;
};

TEST_F(ReloadTest, PutsANewGenerationInPlaceInOneStep) {
  begin_serving(one_wsgi_app(1));
  next_config_ = one_wsgi_app(2);
  reload();
  std::vector<UniqueFd> fds;
  EXPECT_EQ(await<ipc::EdgePrepare>(edge(), &fds).generation, 2U);
  EXPECT_EQ(ipc::read_memory_file(fds.at(0)).value(), "edge start 2");
  settle();
  EXPECT_EQ(workers(), 1U) << "no worker boots for a configuration that the edge may refuse";
  edge().say(ipc::EdgePrepared{2});

  turn_until([&] { return workers() == 2; }, "the first new worker");
  settle();
  EXPECT_EQ(workers(), 2U) << "boot_concurrency is 1";
  std::vector<UniqueFd> init_fds;
  EXPECT_EQ(await<ipc::WorkerInit>(worker(1), &init_fds).generation, 2U);
  EXPECT_EQ(ipc::read_memory_file(init_fds.at(0)).value(), "worker start 2");
  worker(1).say(ipc::Ready{"wsgi", 1});
  const auto add = await<ipc::WorkerAdd>(edge());
  EXPECT_TRUE(add.standby);
  EXPECT_EQ(add.generation, 2U);
  turn_until([&] { return workers() == 3; }, "the second new worker");
  EXPECT_TRUE(outcomes_.empty());
  EXPECT_EQ(supervision_->status().state, "reloading");
  worker(2).say(ipc::Ready{"wsgi", 1});

  EXPECT_EQ(await<ipc::EdgeCommit>(edge()).generation, 2U);
  ASSERT_EQ(outcomes_.size(), 1U);
  EXPECT_TRUE(outcomes_[0]) << outcomes_[0].error().message;
  EXPECT_EQ(committed_, std::vector<std::uint32_t>{2});
  EXPECT_TRUE(worker(0).heard_nothing()) << "it may have requests, as long as the edge says so";
  EXPECT_EQ(supervision_->status().generation, 2U);
  EXPECT_EQ(manager_, "serving reloading serving ");

  edge().say(ipc::WorkerIdle{1});
  await<ipc::Drain>(worker(0));
  worker(0).exit(0);
  await_log("generation 1 has ended");
  EXPECT_EQ(workers(), 2U);
}

TEST_F(ReloadTest, AWorkerThatDoesNotGetIdleIsDrainedAtItsDeadline) {
  config::Config config = one_wsgi_app(1);
  begin_serving(config);
  config.server.graceful_timeout = config.server.stream_drain_timeout = milliseconds(20);
  next_config_ = config;
  reload_up_to_the_workers();
  worker(1).say(ipc::Ready{"wsgi", 1});
  await<ipc::EdgeCommit>(edge());
  const auto drain = await<ipc::Drain>(worker(0));
  EXPECT_LE(drain.timeout_ms, 2000U);
}

TEST_F(ReloadTest, AConfigurationThatCannotBeReadChangesNothing) {
  begin_serving(one_wsgi_app(1));
  next_config_ = fail("saola.toml:3:1: unknown key 'worker' in [app]\nsaola.toml:4:1: another");
  reload();
  ASSERT_EQ(outcomes_.size(), 1U);
  EXPECT_THAT(outcomes_[0].error().message,
              HasSubstr("generation 1 goes on: saola.toml:3:1: unknown key"));
  EXPECT_THAT(sink_.text, HasSubstr("saola.toml:4:1: another"));
  settle();
  EXPECT_TRUE(edge().heard_nothing());
  EXPECT_EQ(workers(), 1U);
  EXPECT_FALSE(supervision_->status().last_reload.value().succeeded);
}

TEST_F(ReloadTest, WhatTheEdgeRefusesChangesNothing) {
  begin_serving(one_wsgi_app(1));
  next_config_ = one_wsgi_app(1);
  reload();
  await<ipc::EdgePrepare>(edge());
  edge().say(ipc::EdgeRefused{2, "cert.pem: the key does not belong to it"});
  turn_until([&] { return !outcomes_.empty(); }, "the outcome");
  EXPECT_THAT(outcomes_[0].error().message, HasSubstr("the key does not belong to it"));
  EXPECT_EQ(workers(), 1U);
  await<ipc::EdgeAbandon>(edge());
}

TEST_F(ReloadTest, AnAppThatCannotBeImportedLeavesTheOldGenerationServing) {
  begin_serving(one_wsgi_app(1));
  next_config_ = one_wsgi_app(2);
  reload_up_to_the_workers();
  worker(1).say(ipc::BootFailed{"Traceback\nImportError: no module", true});
  turn_until([&] { return !outcomes_.empty(); }, "the outcome");
  EXPECT_THAT(outcomes_[0].error().message, HasSubstr("Traceback\nImportError: no module"));
  await<ipc::EdgeAbandon>(edge());
  worker(1).exit(W_EXITCODE(3, 0));
  await_log("generation 2 has ended");
  EXPECT_EQ(workers(), 1U);
  EXPECT_EQ(supervision_->status().generation, 1U);
  EXPECT_EQ(supervision_->status().state, "serving");
}

TEST_F(ReloadTest, ANewWorkerThatDiesEndsTheAttempt) {
  begin_serving(one_wsgi_app(1));
  next_config_ = one_wsgi_app(1);
  reload_up_to_the_workers();
  worker(1).exit(W_EXITCODE(0, SIGSEGV));
  turn_until([&] { return !outcomes_.empty(); }, "the outcome");
  EXPECT_THAT(outcomes_[0].error().message, HasSubstr("killed by SIGSEGV"));
  settle();
  EXPECT_EQ(workers(), 1U);
}

TEST_F(ReloadTest, AStartupThatHangsPastBootTimeoutEndsTheAttempt) {
  begin_serving(one_wsgi_app(1));
  config::Config config = one_wsgi_app(1);
  config.apps["app"].boot_timeout = milliseconds(20);
  next_config_ = config;
  reload_up_to_the_workers();
  turn_until([&] { return !worker(1).signals.empty(); }, "the kill");
  worker(1).exit(W_EXITCODE(0, SIGKILL));
  turn_until([&] { return !outcomes_.empty(); }, "the outcome");
  EXPECT_FALSE(outcomes_[0]);
  EXPECT_THAT(sink_.text, HasSubstr("did not start within its boot_timeout"));
}

TEST_F(ReloadTest, AReadyPathMustAnswer2xx) {
  begin_serving(one_wsgi_app(1));
  config::Config config = one_wsgi_app(1);
  config.apps["app"].ready_path = "/ready?deep=1";
  next_config_ = config;
  for (const std::uint32_t status : {503U, 204U}) {
    outcomes_.clear();
    reload();
    const auto number = await<ipc::EdgePrepare>(edge()).generation;
    edge().say(ipc::EdgePrepared{number});
    turn_until([&] { return workers() == 2; }, "a new worker");
    worker(1).say(ipc::Ready{"wsgi", 1});
    const auto probe = await<ipc::WorkerProbe>(edge());
    EXPECT_EQ(probe.path, "/ready?deep=1");
    EXPECT_TRUE(outcomes_.empty());
    edge().say(ipc::WorkerProbed{probe.worker_id, status});
    turn_until([&] { return !outcomes_.empty(); }, "the outcome");
    EXPECT_EQ(outcomes_[0].has_value(), status == 204);
    if (status == 503) worker(1).exit(0);
  }
  EXPECT_THAT(sink_.text, HasSubstr("ready_path answered 503"));
}

TEST_F(ReloadTest, TheEdgesDeathEndsTheAttempt) {
  begin_serving(one_wsgi_app(1));
  next_config_ = one_wsgi_app(1);
  reload();
  edge().exit(W_EXITCODE(0, SIGSEGV));
  ASSERT_EQ(outcomes_.size(), 1U);
  EXPECT_THAT(outcomes_[0].error().message, HasSubstr("the edge died"));
  turn_until([&] { return !launcher_.alive("edge").empty(); }, "the new edge");
  std::vector<UniqueFd> fds;
  await<ipc::EdgeInit>(edge(), &fds);
  EXPECT_EQ(ipc::read_memory_file(fds.at(0)).value(), "edge start 1");
}

TEST_F(ReloadTest, AReloadThatIsAskedForDuringAnotherFollowsIt) {
  begin_serving(one_wsgi_app(1));
  next_config_ = one_wsgi_app(1);
  reload_up_to_the_workers();
  reload();
  reload();
  settle();
  EXPECT_TRUE(outcomes_.empty());
  worker(1).say(ipc::Ready{"wsgi", 1});
  turn_until([&] { return outcomes_.size() == 1; }, "the first outcome");
  const auto again = await<ipc::EdgePrepare>(edge());
  EXPECT_EQ(again.generation, 3U);
  edge().say(ipc::EdgeRefused{3, "no"});
  turn_until([&] { return outcomes_.size() == 3; }, "both others are answered by one reload");
}

TEST_F(ReloadTest, AStopEndsTheAttemptAndEverybodyLeaves) {
  begin_serving(one_wsgi_app(1));
  next_config_ = one_wsgi_app(1);
  reload_up_to_the_workers();
  supervision_->begin_stop("SIGTERM");
  ASSERT_EQ(outcomes_.size(), 1U);
  EXPECT_FALSE(outcomes_[0]);
  await<ipc::Stop>(worker(1));
  edge().say(ipc::Drained{});
  await<ipc::Drain>(worker(0));
  edge().exit(0);
  worker(0).exit(0);
  worker(0).exit(0);
  EXPECT_EQ(supervision_->run(), 0);
}

TEST_F(ReloadTest, FollowsTheStartIfTheServerStillStarts) {
  begin(one_wsgi_app(1));
  start();
  next_config_ = one_wsgi_app(1);
  reload();
  edge().say(ipc::Ready{});
  turn_until([&] { return workers() == 1; }, "the worker");
  EXPECT_TRUE(outcomes_.empty());
  worker(0).say(ipc::Ready{"wsgi", 1});
  EXPECT_EQ(await<ipc::EdgePrepare>(edge()).generation, 2U);
}

TEST_F(ReloadTest, IsRefusedIfTheStartFails) {
  begin(one_wsgi_app(1));
  start();
  reload();
  edge().say(ipc::BootFailed{"cert.pem: no certificate", false});
  turn_until([&] { return !outcomes_.empty(); }, "the outcome");
  EXPECT_THAT(outcomes_[0].error().message, HasSubstr("the server stops"));
}

TEST(NeedsRestart, NamesWhatCannotChange) {
  config::Config now = one_wsgi_app(1);
  config::Config next = now;
  next.apps["app"].workers = 5;
  next.listen.emplace_back();
  EXPECT_THAT(needs_restart(now, next), testing::IsEmpty());
  next.server.user = "www-data";
  next.server.runtime_dir = "/run/other";
  EXPECT_THAT(needs_restart(now, next),
              testing::ElementsAre(HasSubstr("[server] user"), HasSubstr("[server] runtime_dir")));
}

}  // namespace
}  // namespace saola::control
