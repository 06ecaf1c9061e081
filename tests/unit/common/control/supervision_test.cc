#include "common/control/supervision.h"

#include "tests/unit/common/control/supervision_fixture.h"

namespace saola::control {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;
using testing::Not;

TEST_F(SupervisionTest, StartsTheEdgeFirstAndTheWorkersWhenItIsReady) {
  config::Config config = one_wsgi_app(2);
  config.apps["app"].process_name = "shop";
  begin(std::move(config));
  start();
  ASSERT_EQ(launcher_.children.size(), 1U);
  EXPECT_EQ(edge().title, "saola: edge [shop]");
  std::vector<UniqueFd> fds;
  const auto init = edge().heard<ipc::EdgeInit>(&fds);
  ASSERT_TRUE(init);
  EXPECT_FALSE(init->has_access_log);
  ASSERT_EQ(fds.size(), 4U);
  EXPECT_EQ(ipc::read_memory_file(fds[0]).value(), "edge start 1");
  EXPECT_TRUE(metrics::MetricStore::map(fds[2]).has_value());

  edge().say(ipc::Ready{});
  turn_until([&] { return workers() == 2; }, "the workers");
  EXPECT_EQ(worker(0).title, "saola: worker app 1 [shop]");
  EXPECT_EQ(worker(1).title, "saola: worker app 2 [shop]");
}

TEST_F(SupervisionTest, JoinsAReadyWorkerToTheEdgeByASocketPairAndAClaimTable) {
  begin(one_wsgi_app(1));
  start();
  ASSERT_TRUE(edge().heard<ipc::EdgeInit>());
  edge().say(ipc::Ready{});
  turn_until([&] { return workers() == 1; }, "the worker");

  std::vector<UniqueFd> at_worker;
  const auto init = worker(0).heard<ipc::WorkerInit>(&at_worker);
  ASSERT_TRUE(init);
  EXPECT_EQ(init->app, "app");
  ASSERT_EQ(at_worker.size(), 6U);
  settle();
  EXPECT_TRUE(edge().heard_nothing()) << "the edge must not know of a worker that still imports";

  worker(0).say(ipc::Ready{"wsgi", 999});
  std::optional<ipc::WorkerAdd> add;
  std::vector<UniqueFd> at_edge;
  turn_until([&] { return (add = edge().heard<ipc::WorkerAdd>(&at_edge)).has_value(); }, "add");
  EXPECT_EQ(add->worker_id, init->worker_id);
  EXPECT_EQ(add->pid, static_cast<std::uint32_t>(worker(0).pid));
  EXPECT_EQ(add->slots, 1U) << "a worker does not get more than it is configured for";
  EXPECT_TRUE(add->whole_requests);
  ASSERT_EQ(at_edge.size(), 2U);

  ASSERT_EQ(::write(at_edge[0].get(), "hi", 2), 2);
  char text[3] = {};
  ASSERT_EQ(::read(at_worker[1].get(), text, 2), 2);
  EXPECT_STREQ(text, "hi");
  auto edge_claims = ipc::ClaimTable::map(at_edge[1]).value();
  auto worker_claims = ipc::ClaimTable::map(at_worker[2]).value();
  edge_claims.offer(7, 1);
  EXPECT_TRUE(worker_claims.claim(7, 1));
  EXPECT_GE(edge_claims.slots(), 1000U + 16U);
}

TEST_F(SupervisionTest, SaysReadyOnceEveryWorkerServes) {
  begin(one_wsgi_app(2));
  start();
  edge().say(ipc::Ready{});
  turn_until([&] { return workers() == 2; }, "the workers");
  worker(0).say(ipc::Ready{"asgi", 1000});
  turn_until([&] { return sink_.text.find("worker app 1 ") != std::string::npos; }, "one");
  EXPECT_THAT(sink_.text, Not(HasSubstr("ready after")));
  worker(1).say(ipc::Ready{"asgi", 1000});
  turn_until([&] { return sink_.text.find("ready after") != std::string::npos; }, "ready");
  EXPECT_THAT(sink_.text, HasSubstr("app: 2 workers (asgi)"));
}

TEST_F(SupervisionTest, ReplacesAKilledWorkerAtOnceAndTellsTheEdgeFirst) {
  begin_serving(one_wsgi_app(1));
  memory_.scoreboard().slot(0).requests_started = 5;
  memory_.scoreboard().slot(0).requests_finished = 4;
  worker(0).exit(W_EXITCODE(0, SIGKILL));
  turn_until([&] { return workers() == 1; }, "the replacement");
  const auto removed = edge().heard<ipc::WorkerRemove>();
  ASSERT_TRUE(removed);
  EXPECT_EQ(removed->worker_id, 1U);
  EXPECT_EQ(worker(0).title, "saola: worker app 2");
  EXPECT_THAT(sink_.text, HasSubstr("killed by SIGKILL; it was running 1 request; a new worker "
                                    "starts at once"));
}

TEST_F(SupervisionTest, BacksOffWhenWorkersKeepDying) {
  begin_serving(one_wsgi_app(1));
  for (const char* wait : {"in 0.1 s", "in 0.2 s", "in 0.4 s"}) {
    worker(0).exit(W_EXITCODE(0, SIGSEGV));
    EXPECT_THAT(sink_.text, HasSubstr(std::string("a new worker starts ") + wait));
    turn_until([&] { return workers() == 1; }, "the replacement");
  }
}

TEST_F(SupervisionTest, AWorkerThatCannotLoadTheAppStopsTheWholeStartWithCode3) {
  begin(one_wsgi_app(2));
  start();
  edge().say(ipc::Ready{});
  turn_until([&] { return workers() == 2; }, "the workers");
  worker(0).say(ipc::BootFailed{"Traceback (most recent call last):\nImportError: no", true});
  worker(1).say(ipc::BootFailed{"Traceback (most recent call last):\nImportError: no", true});
  turn_until([&] { return sink_.text.find("ImportError") != std::string::npos; }, "traceback");
  EXPECT_EQ(sink_.text.find("ImportError"), sink_.text.rfind("ImportError")) << "told once";
  worker(0).exit(W_EXITCODE(3, 0));
  worker(0).exit(W_EXITCODE(3, 0));
  edge().exit(W_EXITCODE(0, 0));
  EXPECT_EQ(supervision_->run(), 3);
}

TEST_F(SupervisionTest, AnAppThatFailsLaterIsTriedAgainAndItsTracebackShownOnce) {
  begin_serving(one_wsgi_app(1));
  worker(0).exit(W_EXITCODE(0, SIGKILL));
  for (int i = 0; i < 2; ++i) {
    turn_until([&] { return workers() == 1; }, "the replacement");
    worker(0).say(ipc::BootFailed{"ImportError: no", true});
    worker(0).exit(W_EXITCODE(3, 0));
  }
  EXPECT_THAT(sink_.text, HasSubstr("cannot start: ImportError: no"));
  EXPECT_THAT(sink_.text, HasSubstr("for the same reason as before"));
  EXPECT_EQ(sink_.text.find("ImportError"), sink_.text.rfind("ImportError"));
  turn_until([&] { return workers() == 1; }, "the next attempt");
}

TEST_F(SupervisionTest, WorkersThatDieSilentlyBeforeTheFirstReadyEndTheStart) {
  begin(one_wsgi_app(1));
  start();
  edge().say(ipc::Ready{});
  for (int i = 0; i < WorkerPool::kFirstAttempts; ++i) {
    turn_until([&] { return workers() == 1; }, "the worker");
    worker(0).exit(W_EXITCODE(0, SIGSEGV));
  }
  EXPECT_THAT(sink_.text, HasSubstr("its workers die before they can serve"));
  edge().exit(0);
  EXPECT_EQ(supervision_->run(), 3);
}

TEST_F(SupervisionTest, KillsAWorkerThatDoesNotStartInTime) {
  config::Config config = one_wsgi_app(1);
  config.apps["app"].boot_timeout = milliseconds(20);
  begin(std::move(config));
  start();
  edge().say(ipc::Ready{});
  turn_until([&] { return workers() == 1 && !worker(0).signals.empty(); }, "the kill");
  EXPECT_EQ(worker(0).signals, std::vector<int>{SIGKILL});
  EXPECT_THAT(sink_.text, HasSubstr("did not start within its boot_timeout"));
}

TEST_F(SupervisionTest, AnEdgeThatRefusesItsCertificatesEndsTheStartWithCode4) {
  begin(one_wsgi_app(1));
  start();
  edge().say(ipc::BootFailed{"cert.pem: the key does not belong to the certificate", false});
  turn_until([&] { return sink_.text.find("does not belong") != std::string::npos; }, "reason");
  edge().exit(W_EXITCODE(4, 0));
  EXPECT_EQ(supervision_->run(), 4);
  EXPECT_EQ(workers(), 0U);
}

TEST_F(SupervisionTest, AfterTheEdgesDeathTheWorkersAreJoinedToANewOne) {
  begin_serving(one_wsgi_app(2));
  edge().exit(W_EXITCODE(0, SIGSEGV));
  turn_until([&] { return !launcher_.alive("edge").empty(); }, "the new edge");
  EXPECT_TRUE(worker(0).heard_nothing()) << "it goes on until there is an edge to join";
  ASSERT_TRUE(edge().heard<ipc::EdgeInit>());
  edge().say(ipc::Ready{});
  for (std::size_t i = 0; i < 2; ++i) {
    std::vector<UniqueFd> at_worker;
    std::vector<UniqueFd> at_edge;
    await<ipc::WorkerRewire>(worker(i), &at_worker);
    EXPECT_EQ(await<ipc::WorkerAdd>(edge(), &at_edge).worker_id, i + 1);
    ASSERT_EQ(at_worker.size(), 2U);
    ASSERT_EQ(at_edge.size(), 2U);
    ASSERT_EQ(::write(at_edge[0].get(), "hi", 2), 2);
    char text[3] = {};
    ASSERT_EQ(::read(at_worker[0].get(), text, 2), 2);
    EXPECT_STREQ(text, "hi");
    auto edge_claims = ipc::ClaimTable::map(at_edge[1]).value();
    auto worker_claims = ipc::ClaimTable::map(at_worker[1]).value();
    edge_claims.offer(7, 1);
    EXPECT_TRUE(worker_claims.claim(7, 1));
  }
  EXPECT_EQ(workers(), 2U);
  EXPECT_THAT(sink_.text, HasSubstr("killed by SIGSEGV"));
  EXPECT_EQ(supervision_->status().edge_restarts, 1U);
}

TEST_F(SupervisionTest, AWorkerThatBecomesReadyWithoutAnEdgeWaitsForTheNext) {
  begin_serving(one_wsgi_app(1));
  worker(0).exit(W_EXITCODE(0, SIGKILL));
  turn_until([&] { return workers() == 1; }, "the replacement");
  ASSERT_TRUE(worker(0).heard<ipc::WorkerInit>());
  edge().exit(W_EXITCODE(0, SIGSEGV));
  worker(0).say(ipc::Ready{"wsgi", 1});
  turn_until([&] { return !launcher_.alive("edge").empty(); }, "the new edge");
  edge().say(ipc::Ready{});
  std::vector<UniqueFd> fds;
  EXPECT_EQ(await<ipc::WorkerAdd>(edge(), &fds).worker_id, 2U);
  EXPECT_EQ(fds.size(), 2U);
  EXPECT_TRUE(worker(0).heard_nothing()) << "its first wire was never used";
}

TEST_F(SupervisionTest, StopsGracefullyEdgeFirst) {
  begin_serving(one_wsgi_app(1));
  supervision_->begin_stop("SIGTERM");
  const auto drain = edge().heard<ipc::Drain>();
  ASSERT_TRUE(drain);
  EXPECT_EQ(drain->timeout_ms, 30000U);
  settle();
  EXPECT_TRUE(worker(0).heard_nothing()) << "the edge still needs it";

  edge().say(ipc::Drained{});
  turn_until([&] { return worker(0).heard<ipc::Drain>().has_value(); }, "the worker's drain");
  EXPECT_TRUE(edge().heard<ipc::Stop>());
  edge().exit(0);
  worker(0).exit(0);
  EXPECT_EQ(supervision_->run(), 0);
  EXPECT_THAT(sink_.text, HasSubstr("stopped"));
}

TEST_F(SupervisionTest, DrainLetsClientsGoAndEveryLaterEdgeToo) {
  begin_serving(one_wsgi_app(1));
  ASSERT_TRUE(supervision_->drain());
  await<ipc::ReleaseClients>(edge());
  EXPECT_FALSE(supervision_->status().ready);
  EXPECT_EQ(supervision_->status().state, "serving");
  ASSERT_TRUE(supervision_->drain());
  EXPECT_TRUE(edge().heard_nothing()) << "it knows";
  edge().exit(W_EXITCODE(0, SIGKILL));
  turn_until([&] { return !launcher_.alive("edge").empty(); }, "the new edge");
  await<ipc::ReleaseClients>(edge());
}

TEST_F(SupervisionTest, ClientsGoDuringDrainDelay) {
  config::Config config = one_wsgi_app(1);
  config.server.drain_delay = std::chrono::seconds(60);
  begin_serving(config);
  supervision_->begin_stop("SIGTERM");
  await<ipc::ReleaseClients>(edge());
  EXPECT_TRUE(edge().heard_nothing());
}

TEST_F(SupervisionTest, NoUpgradeAfterDrain) {
  begin_serving(one_wsgi_app(1));
  ASSERT_TRUE(supervision_->drain());
  std::string why;
  supervision_->upgrade([&why](const auto& outcome) { why = outcome.error().message; });
  EXPECT_THAT(why, HasSubstr("told to drain"));
}

// WINCH in the background.
TEST_F(SupervisionTest, WorkersRestUntilTheyAreWanted) {
  begin_serving(one_wsgi_app(2));
  supervision_->rest();
  for (const std::uint32_t id :
       {await<ipc::WorkerDrain>(edge()).worker_id, await<ipc::WorkerDrain>(edge()).worker_id}) {
    edge().say(ipc::WorkerIdle{id});
  }
  for (int i = 0; i < 2; ++i) {
    await<ipc::Drain>(worker(0));
    worker(0).exit(0);
  }
  settle();
  EXPECT_EQ(workers(), 0U);
  EXPECT_FALSE(supervision_->status().ready);
  EXPECT_EQ(supervision_->status().state, "serving");
  supervision_->scale_by(1);
  turn_until([&] { return workers() == 1; }, "a worker");
  EXPECT_TRUE(supervision_->status().ready);
}

TEST_F(SupervisionTest, AReloadBringsAllRestingWorkersBack) {
  begin_serving(one_wsgi_app(2));
  supervision_->rest();
  next_config_ = one_wsgi_app(2);
  supervision_->reload(false, [](const auto&) {});
  await<ipc::EdgePrepare>(edge());
  edge().say(ipc::EdgePrepared{2});
  turn_until([&] { return workers() == 3; }, "the first new worker");
  worker(2).say(ipc::Ready{"wsgi", 1});
  turn_until([&] { return workers() == 4; }, "the second");
  worker(3).say(ipc::Ready{"wsgi", 1});
  await<ipc::EdgeCommit>(edge());
  EXPECT_TRUE(supervision_->status().ready);
}

TEST_F(SupervisionTest, ReplacesAWorkerThatDiesWhileTheEdgeStillDrains) {
  begin_serving(one_wsgi_app(1));
  supervision_->begin_stop("SIGTERM");
  worker(0).exit(W_EXITCODE(0, SIGKILL));
  turn_until([&] { return workers() == 1; }, "the replacement");
}

TEST_F(SupervisionTest, ASecondSignalStopsAtOnce) {
  begin_serving(one_wsgi_app(1));
  supervision_->begin_stop("SIGTERM");
  ASSERT_TRUE(edge().heard<ipc::Drain>());
  supervision_->begin_stop("SIGINT");
  EXPECT_TRUE(edge().heard<ipc::Stop>());
  EXPECT_TRUE(worker(0).heard<ipc::Stop>());
  // Neither reacts: both are killed after the grace.
  turn_until([&] { return !edge().signals.empty() && !worker(0).signals.empty(); }, "the kills");
  EXPECT_EQ(worker(0).signals, std::vector<int>{SIGKILL});
  edge().exit(W_EXITCODE(0, SIGKILL));
  worker(0).exit(W_EXITCODE(0, SIGKILL));
  EXPECT_EQ(supervision_->run(), 0);
}

TEST_F(SupervisionTest, AChildThatSendsNonsenseIsStoppedAndReplaced) {
  begin_serving(one_wsgi_app(1));
  worker(0).say_text("{\"type\": \"drained\"}");
  turn_until([&] { return worker(0).heard<ipc::Stop>().has_value(); }, "the stop");
  worker(0).exit(0);
  turn_until([&] { return workers() == 1; }, "the replacement");

  worker(0).say_text("no JSON");
  turn_until([&] { return sink_.text.find("sent nonsense") != std::string::npos; }, "the log");
}

TEST_F(SupervisionTest, LastWordsCountEvenIfTheExitIsSeenFirst) {
  begin(one_wsgi_app(1));
  start();
  edge().say(ipc::Ready{});
  turn_until([&] { return workers() == 1; }, "the worker");
  worker(0).say(ipc::BootFailed{"SyntaxError: invalid syntax", true});
  worker(0).exit(W_EXITCODE(3, 0));  // before the loop has read the message
  EXPECT_THAT(sink_.text, HasSubstr("SyntaxError: invalid syntax"));
  edge().exit(0);
  EXPECT_EQ(supervision_->run(), 3);
}

TEST_F(SupervisionTest, AFailedForkIsTriedAgain) {
  begin_serving(one_wsgi_app(1));
  launcher_.fail_next = 1;
  worker(0).exit(W_EXITCODE(0, SIGKILL));
  turn_until([&] { return workers() == 1; }, "the second attempt");
  EXPECT_THAT(sink_.text, HasSubstr("cannot start a worker: fork"));
}

}  // namespace
}  // namespace saola::control
