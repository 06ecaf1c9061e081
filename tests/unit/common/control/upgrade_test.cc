// Supervision at an upgrade: the test plays the processes of both images.
#include <fcntl.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "tests/unit/common/control/supervision_fixture.h"

namespace saola::control {
namespace {

using testing::HasSubstr;

// A process of the image before: the test has its end of the control channel.
struct Orphan {
  UpgradeState::Process process;
  UniqueFd control;  // the supervisor's end, as it came through exec
  ipc::ControlChannel channel{UniqueFd()};

  template <class Message>
  std::optional<Message> heard() {
    const auto received = channel.receive();
    if (!received || received->again || received->closed) return std::nullopt;
    const auto message = ipc::parse_control_message(received->text);
    if (!message || !std::holds_alternative<Message>(*message)) return std::nullopt;
    return std::get<Message>(*message);
  }
  void say(std::string_view text) { ASSERT_TRUE(channel.send(text)); }
  bool heard_nothing() {
    const auto received = channel.receive();
    return received && received->again;
  }
};

class UpgradeTest : public SupervisionTest {
 protected:
  Orphan& orphan(pid_t pid, const std::string& name) {
    auto ends = ipc::ControlChannel::make_pair().value();
    auto& one = *orphans_.emplace_back(std::make_unique<Orphan>());
    one.process = {pid, ends.first.get(), name, name == "edge", true};
    one.control = std::move(ends.first);
    one.channel = ipc::ControlChannel(std::move(ends.second));
    launcher_.orphans[pid] = nullptr;
    state_.processes.push_back(one.process);
    return one;
  }
  void end(Orphan& one) {
    const auto on_exit = std::move(launcher_.orphans.at(one.process.pid));
    launcher_.orphans.erase(one.process.pid);
    on_exit(0);
  }
  // A start beside the orphans, up to the workers' boot.
  void begin_takeover() {
    begin(one_wsgi_app(1));
    supervision_->take_over(state_);
    start();
    edge().say(ipc::Ready{});
    turn_until([&] { return workers() == 1; }, "the worker");
  }
  template <class Message>
  Message await_orphan(Orphan& one) {
    std::optional<Message> heard;
    turn_until([&] { return (heard = one.heard<Message>()).has_value(); }, "a message");
    return heard.value_or(Message{});
  }
  // problem_ is the answer, when there is one.
  void upgrade() {
    problem_.clear();
    supervision_->upgrade([this](const Result<std::string>& said) {
      ASSERT_FALSE(said);
      problem_ = said.error().message;
    });
  }

  UpgradeState state_;
  std::string problem_;
  std::vector<std::unique_ptr<Orphan>> orphans_;
};

TEST_F(UpgradeTest, TheProcessesBeforeDrainWhenThisImageIsReady) {
  state_.last_worker_id = 40;
  Orphan& old_edge = orphan(71, "edge");
  Orphan& old_worker = orphan(72, "worker app 40");
  begin_takeover();
  EXPECT_EQ(launcher_.alive("worker").at(0)->title, "saola: worker app 41") << "ids go on";
  settle();
  EXPECT_TRUE(old_edge.heard_nothing());
  EXPECT_EQ(taken_over_, 0);
  worker(0).say(ipc::Ready{"wsgi", 1});
  const auto drain = await_orphan<ipc::Drain>(old_edge);
  EXPECT_EQ(drain.idle_ms, 2000U) << "a request that is on the way is answered";
  EXPECT_GT(drain.timeout_ms, 0U);
  EXPECT_EQ(taken_over_, 1);
  settle();
  EXPECT_TRUE(old_worker.heard_nothing()) << "the edge may have work for it";
  old_edge.say(R"({"type":"a message of tomorrow"})");
  old_edge.say(ipc::to_json(ipc::Drained{}));
  await_orphan<ipc::Drain>(old_worker);
  upgrade();
  EXPECT_THAT(problem_, HasSubstr("2 processes of the last one"));
  end(old_edge);
  end(old_worker);
  await_log("from before the upgrade have ended");
  EXPECT_TRUE(supervision_->status().ready);
}

TEST_F(UpgradeTest, WhoHasGoneMeanwhileIsNotWaitedFor) {
  orphan(71, "edge");
  Orphan& old_worker = orphan(72, "worker app 1");
  launcher_.orphans.erase(71);
  begin_takeover();
  worker(0).say(ipc::Ready{"wsgi", 1});
  await_orphan<ipc::Drain>(old_worker);
}

TEST_F(UpgradeTest, AFailedTakeoverEndsItsOwnProcessesAndNoOthers) {
  Orphan& old_edge = orphan(71, "edge");
  Orphan& old_worker = orphan(72, "worker app 1");
  old_edge.say(ipc::to_json(ipc::WorkerLost{1, "for the binary that comes back"}));
  begin_takeover();
  worker(0).say(ipc::BootFailed{"ImportError: no database", true});
  await_log("cannot be loaded");
  worker(0).exit(3 << 8);
  edge().exit(0);
  EXPECT_EQ(supervision_->run(), 3);
  EXPECT_THAT(supervision_->start_problem(), HasSubstr("ImportError: no database"));
  EXPECT_EQ(taken_over_, 0);
  EXPECT_TRUE(old_edge.heard_nothing());
  EXPECT_TRUE(old_worker.heard_nothing());
  ipc::ControlChannel again(UniqueFd(old_edge.control.release()));
  EXPECT_THAT(again.receive().value().text, HasSubstr("comes back")) << "it was not taken";
}

TEST_F(UpgradeTest, AStopDuringATakeoverDrainsBoth) {
  Orphan& old_edge = orphan(71, "edge");
  begin_takeover();
  supervision_->begin_stop("SIGTERM");
  EXPECT_EQ(await_orphan<ipc::Drain>(old_edge).idle_ms, 0U);
  EXPECT_EQ(taken_over_, 1) << "there is no way back from a stop";
  await<ipc::Drain>(edge());
  edge().say(ipc::Drained{});
  edge().exit(0);
  worker(0).exit(0);
  settle();
  EXPECT_THAT(sink_.text, testing::Not(HasSubstr(": stopped")));
  end(old_edge);
  EXPECT_EQ(supervision_->run(), 0);
}

TEST_F(UpgradeTest, AStopAfterAFailedTakeoverEndsEverything) {
  Orphan& old_edge = orphan(71, "edge");
  begin_takeover();
  worker(0).say(ipc::BootFailed{"ImportError: no database", true});
  await_log("cannot be loaded");
  supervision_->begin_stop("SIGTERM");
  await_orphan<ipc::Drain>(old_edge);
  EXPECT_EQ(supervision_->start_problem(), "");
  end(old_edge);
  worker(0).exit(3 << 8);
  edge().exit(0);
  EXPECT_EQ(supervision_->run(), 0);
}

TEST_F(UpgradeTest, ThereIsATimeForIt) {
  begin(one_wsgi_app(1));
  upgrade();
  EXPECT_THAT(problem_, HasSubstr("still starting"));
  EXPECT_FALSE(asked_);
}

TEST_F(UpgradeTest, ABinaryThatSaysNoChangesNothing) {
  begin_serving(one_wsgi_app(1));
  upgrade();
  ASSERT_TRUE(asked_);
  upgrade();
  EXPECT_THAT(problem_, HasSubstr("one is under way"));
  asked_(fail("no library"));
  await_log("nothing has changed");
  EXPECT_FALSE(left_);
  EXPECT_THAT(sink_.text, HasSubstr("nothing has changed: no library"));
  asked_ = nullptr;
  upgrade();
  EXPECT_TRUE(asked_) << "it can be tried again";
}

TEST_F(UpgradeTest, AnExecThatFailsChangesNothing) {
  begin_serving(one_wsgi_app(1));
  upgrade();
  asked_(UniqueFd(::open("/dev/null", O_PATH | O_CLOEXEC)));
  EXPECT_TRUE(signals_held_);
  await_log("nothing has changed: exec: refused by the test");
  EXPECT_FALSE(signals_held_);
  EXPECT_TRUE(supervision_->status().ready);
}

TEST_F(UpgradeTest, AStopThatComesBeforeTheExecIsObeyed) {
  begin_serving(one_wsgi_app(1));
  upgrade();
  asked_(UniqueFd(::open("/dev/null", O_PATH | O_CLOEXEC)));
  supervision_->begin_stop("SIGTERM");  // its signal had been noted before they were held
  await_log("nothing has changed: the server stops");
  EXPECT_FALSE(left_);
  EXPECT_FALSE(signals_held_);
}

TEST_F(UpgradeTest, WhatIsLeftIsEnoughToGoOn) {
  begin_serving(one_wsgi_app(2));
  ASSERT_TRUE(supervision_->scale("app", 3));
  upgrade();
  asked_(UniqueFd(::open("/dev/null", O_PATH | O_CLOEXEC)));
  turn_until([&] { return left_.has_value(); }, "the exec");
  const auto read = parse_upgrade_state(with_failure(to_json(*left_), "why").value());
  // Not in this one: what only the process that executes knows.
  EXPECT_FALSE(read) << "the binary is missing";
  EXPECT_EQ(left_->last_worker_id, 3U);
  ASSERT_EQ(left_->processes.size(), 4U);
  EXPECT_TRUE(left_->processes[0].is_edge);
  EXPECT_EQ(std::count_if(left_->processes.begin(), left_->processes.end(),
                          [](const auto& process) { return process.ready; }),
            3);
  EXPECT_EQ(left_->service.wanted.at("app"), 3U);
  ASSERT_EQ(left_->service.workers.size(), 2U) << "the third still boots";
  EXPECT_EQ(left_->service.workers[0].interface, "wsgi");
}

TEST_F(UpgradeTest, TheBinaryThatComesBackGoesOnWithTheProcesses) {
  Orphan& old_edge = orphan(71, "edge");
  Orphan& one = orphan(72, "worker app 8");
  orphan(73, "worker app 9");
  Orphan& booted = orphan(74, "worker app 10");
  launcher_.orphans.erase(73);
  state_.last_worker_id = 10;
  state_.service.wanted["app"] = 2;
  state_.service.workers = {{72, 8, 5, "app", "wsgi", 1}, {73, 9, 6, "app", "wsgi", 1}};
  begin(one_wsgi_app(1));
  supervision_->resume(state_);
  const auto status = supervision_->status();
  EXPECT_TRUE(status.ready);
  EXPECT_EQ(status.state, "serving");
  EXPECT_EQ(status.edge_pid, 71);
  EXPECT_EQ(await_orphan<ipc::WorkerRemove>(old_edge).worker_id, 9U) << "it had died meanwhile";
  await_orphan<ipc::Drain>(booted);
  ASSERT_EQ(workers(), 1U) << "in its place";
  worker(0).say(ipc::Ready{"wsgi", 1});
  EXPECT_EQ(await_orphan<ipc::WorkerAdd>(old_edge).worker_id, 11U);
  // What dies is replaced, and what says a thing is heard.
  end(one);
  EXPECT_EQ(await_orphan<ipc::WorkerRemove>(old_edge).worker_id, 8U);
  turn_until([&] { return workers() == 2; }, "another worker");
  supervision_->begin_stop("SIGTERM");
  await_orphan<ipc::Drain>(old_edge);
}

TEST_F(UpgradeTest, AnEdgeThatDiedMeanwhileIsReplaced) {
  Orphan& one = orphan(72, "worker app 8");
  state_.last_worker_id = 8;
  state_.service.wanted["app"] = 1;
  state_.service.workers = {{72, 8, 5, "app", "wsgi", 1}};
  begin(one_wsgi_app(1));
  supervision_->resume(state_);
  edge().say(ipc::Ready{});
  await_orphan<ipc::WorkerRewire>(one);
  EXPECT_EQ(await<ipc::WorkerAdd>(edge()).worker_id, 8U);
  EXPECT_EQ(workers(), 0U);
}

}  // namespace
}  // namespace saola::control
