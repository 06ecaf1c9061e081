// app.preload as the supervisor does it: workers come from a zygote, which the test plays.
#include "common/control/zygote_keeper.h"

#include "tests/unit/common/control/supervision_fixture.h"

namespace saola::control {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

config::Config preloading(int workers) {
  config::Config config = one_wsgi_app(workers);
  config.apps["app"].preload = true;
  return config;
}

// A worker that a zygote was told to fork.
struct Forked {
  std::string title;
  pid_t pid = -1;
  ipc::ControlChannel channel;

  void say(const ipc::ControlMessage& message) {
    SAOLA_CHECK(channel.send(ipc::to_json(message)).has_value());
  }
  // Whether a message of this kind is the next one.
  template <class Message>
  bool hears() {
    const auto received = channel.receive();
    if (!received || received->again || received->closed) return false;
    const auto message = ipc::parse_control_message(received->text);
    return message && std::holds_alternative<Message>(*message);
  }
  bool is_forsaken() {
    const auto received = channel.receive();
    return !received || received->closed;
  }
};

class ZygoteKeeperTest : public SupervisionTest {
 protected:
  void begin_booting(config::Config config) {
    begin(std::move(config));
    start();
    edge().say(ipc::Ready{});
    turn_until([&] { return zygotes() == 1; }, "the zygote");
  }
  std::size_t zygotes() { return launcher_.alive("zygote").size(); }
  FakeChild& zygote(std::size_t index = 0) { return *launcher_.alive("zygote").at(index); }
  int attempts() {
    return static_cast<int>(std::count_if(launcher_.children.begin(), launcher_.children.end(),
                                          [](const auto& c) { return c->role == "zygote"; }));
  }

  // The zygote is told to fork; what it was told.
  Forked order(std::size_t index = 0) {
    std::vector<UniqueFd> fds;
    const auto fork = await<ipc::ZygoteFork>(zygote(index), &fds);
    SAOLA_CHECK(fds.size() == 1);
    return {fork.title, next_pid_++, ipc::ControlChannel(std::move(fds[0]))};
  }
  // It is forked and serves.
  Forked birth(std::size_t index = 0) {
    Forked worker = order(index);
    launcher_.adoptable.insert(worker.pid);
    worker.say(ipc::Born{static_cast<std::uint32_t>(worker.pid)});
    EXPECT_TRUE(worker.hears<ipc::WorkerInit>());
    worker.say(ipc::Ready{"wsgi", 1});
    EXPECT_EQ(await<ipc::WorkerAdd>(edge()).pid, static_cast<std::uint32_t>(worker.pid));
    return worker;
  }
  void die(Forked& worker, int wait_status) {
    worker.channel = ipc::ControlChannel(UniqueFd());
    auto found = launcher_.adopted.extract(worker.pid);
    ASSERT_FALSE(found.empty());
    found.mapped()(wait_status);
  }

  pid_t next_pid_ = 5000;
};

TEST_F(ZygoteKeeperTest, SeatsWaitForTheZygoteAndAreForkedFromIt) {
  begin_booting(preloading(2));
  EXPECT_EQ(zygote().title, "saola: zygote app, generation 1");
  std::vector<UniqueFd> fds;
  EXPECT_EQ(zygote().heard<ipc::ZygoteInit>(&fds).value_or(ipc::ZygoteInit{}).app, "app");
  EXPECT_EQ(fds.size(), 3U);
  settle();
  EXPECT_TRUE(zygote().heard_nothing());
  zygote().say(ipc::Ready{"wsgi", 0});
  const Forked first = birth();
  const Forked second = birth();
  EXPECT_EQ(first.title, "saola: worker app 1");
  EXPECT_EQ(second.title, "saola: worker app 2");
  await_log("ready after");
  EXPECT_EQ(workers(), 0U) << "none was started by the supervisor itself";
  EXPECT_EQ(supervision_->status().workers.at(1).pid, second.pid);
}

TEST_F(ZygoteKeeperTest, ADeadWorkerIsForkedAgainADeadZygoteCostsNothing) {
  begin_booting(preloading(1));
  zygote().say(ipc::Ready{"wsgi", 0});
  Forked worker = birth();
  await_log("ready after");
  die(worker, W_EXITCODE(0, SIGKILL));
  Forked next = birth();
  EXPECT_EQ(next.title, "saola: worker app 2");
  zygote().exit(W_EXITCODE(0, SIGKILL));
  turn_until([&] { return zygotes() == 1; }, "the next zygote");
  EXPECT_THAT(sink_.text, HasSubstr("died; the workers are not harmed: killed by SIGKILL"));
  die(next, W_EXITCODE(0, SIGKILL));
  settle();
  EXPECT_TRUE(zygote().heard<ipc::ZygoteInit>());
  EXPECT_TRUE(zygote().heard_nothing()) << "it is not ready";
  zygote().say(ipc::Ready{"wsgi", 0});
  birth();
}

TEST_F(ZygoteKeeperTest, AnImportThatFailsEndsTheStart) {
  begin_booting(preloading(3));
  zygote().say(ipc::BootFailed{"ImportError: no", true});
  turn_until([&] { return !zygote().signals.empty(); }, "the stop");
  zygote().exit(W_EXITCODE(3, 0));
  await<ipc::Stop>(edge());
  edge().exit(0);
  EXPECT_EQ(supervision_->run(), 3);
  EXPECT_EQ(attempts(), 1);
}

TEST_F(ZygoteKeeperTest, OneThatNeverGetsSoFarEndsTheStartAfterSomeAttempts) {
  begin_booting(preloading(1));
  for (int i = 1; i <= WorkerPool::kFirstAttempts; ++i) {
    turn_until([&] { return attempts() == i; }, "the next attempt");
    zygote().exit(W_EXITCODE(0, SIGSEGV));
  }
  await<ipc::Stop>(edge());
  edge().exit(0);
  EXPECT_EQ(supervision_->run(), 3);
  EXPECT_THAT(sink_.text, HasSubstr("its zygote died while it imported the app"));
}

TEST_F(ZygoteKeeperTest, AForkThatFailsIsToldAndTriedAgain) {
  begin_booting(preloading(1));
  zygote().say(ipc::Ready{"wsgi", 0});
  {
    Forked none = order();
    none.say(ipc::BootFailed{"fork: Resource temporarily unavailable", false});
  }
  birth();
  EXPECT_THAT(sink_.text, HasSubstr("worker app 1 cannot start: fork: Resource temporarily"));
  EXPECT_THAT(sink_.text, HasSubstr("worker app 1 could not be forked; a new worker starts in"));
  EXPECT_EQ(attempts(), 1) << "the zygote is not to blame";
}

TEST_F(ZygoteKeeperTest, NobodyIsBelievedWhoIsNoChild) {
  begin_booting(preloading(1));
  zygote().say(ipc::Ready{"wsgi", 0});
  Forked liar = order();
  liar.say(ipc::Born{1});
  await_log("process 1 is no child of the supervisor");
  turn_until([&] { return liar.is_forsaken(); }, "the end of the channel");
  birth();
  EXPECT_TRUE(launcher_.signals_to_adopted.empty());
}

TEST_F(ZygoteKeeperTest, WhoSaysAnythingElseFirstIsForsaken) {
  begin_booting(preloading(1));
  zygote().say(ipc::Ready{"wsgi", 0});
  Forked strange = order();
  strange.say(ipc::Ready{"wsgi", 1});
  turn_until([&] { return strange.hears<ipc::WorkerInit>() || strange.is_forsaken(); }, "an end");
  await_log("did not say who it is");
  birth();
}

TEST_F(ZygoteKeeperTest, AZygoteThatDoesNotForkIsReplaced) {
  config::Config config = preloading(1);
  config.apps["app"].boot_timeout = std::chrono::milliseconds(50);
  begin_booting(config);
  zygote().say(ipc::Ready{"wsgi", 0});
  const Forked never = order();
  turn_until([&] { return !zygote().signals.empty(); }, "the kill");
  EXPECT_THAT(zygote().signals, ElementsAre(SIGKILL));
  EXPECT_THAT(sink_.text, HasSubstr("does not fork; killing it"));
  zygote().exit(W_EXITCODE(0, SIGKILL));
  turn_until([&] { return zygotes() == 1; }, "the next zygote");
}

TEST_F(ZygoteKeeperTest, AStopWaitsForTheZygoteAndForWhoIsNotBorn) {
  begin_booting(preloading(1));
  zygote().say(ipc::Ready{"wsgi", 0});
  {
    const Forked unborn = order();
    supervision_->stop(true);
    EXPECT_THAT(zygote().signals, ElementsAre(SIGTERM));
    await<ipc::Stop>(edge());
    edge().exit(0);
    zygote().exit(W_EXITCODE(0, SIGTERM));
    settle();
    EXPECT_THAT(sink_.text, Not(HasSubstr("stopped\n")));
  }
  EXPECT_EQ(supervision_->run(), 0);
  EXPECT_EQ(attempts(), 1);
}

TEST_F(ZygoteKeeperTest, RecyclingWaitsForTheZygote) {
  config::Config config = preloading(1);
  config.apps["app"].max_requests = 10;
  begin_booting(config);
  zygote().say(ipc::Ready{"wsgi", 0});
  const Forked old = birth();
  await_log("ready after");
  zygote().exit(W_EXITCODE(0, SIGKILL));
  turn_until([&] { return zygotes() == 1; }, "the next zygote");
  memory_.scoreboard().slot(0).requests_started = 10;
  await_log("is to be replaced: max_requests");
  EXPECT_TRUE(zygote().heard<ipc::ZygoteInit>());
  EXPECT_TRUE(zygote().heard_nothing());
  zygote().say(ipc::Ready{"wsgi", 0});
  birth();
  EXPECT_EQ(await<ipc::WorkerDrain>(edge()).worker_id, 1U);
}

TEST_F(ZygoteKeeperTest, EachGenerationHasItsOwn) {
  begin_booting(preloading(1));
  zygote().say(ipc::Ready{"wsgi", 0});
  Forked old = birth();
  await_log("ready after");
  next_config_ = preloading(1);
  supervision_->reload(false, [](const auto&) {});
  await<ipc::EdgePrepare>(edge());
  edge().say(ipc::EdgePrepared{2});
  turn_until([&] { return zygotes() == 2; }, "the next generation's zygote");
  EXPECT_EQ(zygote(1).title, "saola: zygote app, generation 2");
  EXPECT_TRUE(zygote(0).signals.empty());
  zygote(1).say(ipc::Ready{"wsgi", 0});
  birth(1);
  await<ipc::EdgeCommit>(edge());
  EXPECT_THAT(zygote(0).signals, ElementsAre(SIGTERM));
  zygote(0).exit(W_EXITCODE(0, SIGTERM));
  edge().say(ipc::WorkerIdle{1});
  turn_until([&] { return old.hears<ipc::Drain>(); }, "the old worker's drain");
  die(old, 0);
  await_log("generation 1 has ended");
}

TEST_F(ZygoteKeeperTest, AReloadFailsWhenTheNewZygoteDies) {
  begin_booting(preloading(1));
  zygote().say(ipc::Ready{"wsgi", 0});
  birth();
  await_log("ready after");
  next_config_ = preloading(1);
  std::optional<Result<std::string>> outcome;
  supervision_->reload(false, [&](const auto& said) { outcome = said; });
  await<ipc::EdgePrepare>(edge());
  edge().say(ipc::EdgePrepared{2});
  turn_until([&] { return zygotes() == 2; }, "the next generation's zygote");
  zygote(1).exit(W_EXITCODE(0, SIGSEGV));
  turn_until([&] { return outcome.has_value(); }, "the outcome");
  EXPECT_THAT(outcome->error().message, HasSubstr("its zygote died while it imported the app"));
  settle();
  EXPECT_EQ(zygotes(), 1U);
  EXPECT_TRUE(zygote().signals.empty());
}

}  // namespace
}  // namespace saola::control
