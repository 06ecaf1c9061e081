// Upstream, Exchange and WorkerConnection together; see upstream_fixture.h.
#include "proxy/upstream.h"

#include <algorithm>

#include "tests/unit/proxy/edge/upstream_fixture.h"

namespace saola::proxy {
namespace {

TEST_F(UpstreamTest, AnAnswerReachesItsClient) {
  auto& worker = add_worker(1);
  auto& request = send("/a");
  ASSERT_TRUE(turn_until([&] { return worker.requests.size() == 1; }));
  const auto stream = worker.requests[0];
  EXPECT_EQ(worker.paths[stream], "/a");
  EXPECT_TRUE(worker.claim(stream));
  worker.answer(stream, "hello");
  ASSERT_TRUE(turn_until([&] { return request.client.ended; }));
  EXPECT_EQ(request.client.status, 200);
  EXPECT_EQ(request.client.body, "hello");
}

TEST_F(UpstreamTest, RequestsWaitInTheEdgeWhenNoWorkerIsFree) {
  auto& worker = add_worker(1);
  send("/1");
  send("/2");
  ASSERT_TRUE(turn_until([&] { return worker.requests.size() == 1; }));
  EXPECT_EQ(upstream_->queued(), 1U);
}

TEST_F(UpstreamTest, AFullQueueIsAnswered503) {
  for (int i = 0; i < 8; ++i) send("/");
  EXPECT_EQ(upstream_->queued(), 8U);
  EXPECT_EQ(send("/").client.status, 503);
}

TEST_F(UpstreamTest, AnIdleWorkerGetsWhatAStuckOneHasNotBegun) {
  auto& stuck = add_worker(1);
  const auto answer_next = [&](std::size_t index) {
    ASSERT_TRUE(turn_until([&] { return stuck.requests.size() > index; }));
    stuck.claim(stuck.requests[index]);
    stuck.answer(stuck.requests[index], "quick");
  };
  // A quick answer makes it lively: it gets requests ahead of time. Where the answer was not quick,
  // because the machine is busy, it is tried again.
  std::size_t at = 0;
  while (true) {
    auto& first = send("/first");
    answer_next(at);
    ASSERT_TRUE(turn_until([&] { return first.client.ended; }));
    auto& last = send("/long");
    send("/ahead");
    if (upstream_->queued() == 0) break;
    answer_next(at + 1);
    answer_next(at + 2);
    ASSERT_TRUE(turn_until([&] { return last.client.ended; }));
    at = stuck.requests.size();
  }
  ASSERT_TRUE(turn_until([&] { return stuck.requests.size() == at + 3; }));
  ASSERT_TRUE(stuck.claim(stuck.requests[at + 1]));  // and never returns
  auto& idle = add_worker(1);
  send("/wakes the watch");
  ASSERT_TRUE(turn_until([&] { return !idle.requests.empty(); }));
  idle.claim(idle.requests[0]);
  idle.answer(idle.requests[0], "");
  ASSERT_TRUE(turn_until([&] { return idle.requests.size() == 2; }));
  const std::vector<std::string> paths = {idle.paths[idle.requests[0]],
                                          idle.paths[idle.requests[1]]};
  EXPECT_NE(std::find(paths.begin(), paths.end(), "/ahead"), paths.end());
  EXPECT_FALSE(stuck.claim(stuck.requests[at + 2]));  // exactly one of the two runs it
}

TEST_F(UpstreamTest, ADeadWorkersUnclaimedRequestsGoElsewhere) {
  auto& dying = add_worker(2);
  auto& claimed = send("/claimed", ipc::Method::kPost);
  auto& waiting = send("/waiting", ipc::Method::kPost);
  ASSERT_TRUE(turn_until([&] { return dying.requests.size() == 2; }));
  ASSERT_TRUE(dying.claim(dying.requests[0]));
  auto& other = add_worker(2);
  dying.die();
  ASSERT_TRUE(turn_until([&] { return other.requests.size() == 1 && claimed.client.ended; }));
  EXPECT_EQ(claimed.client.status, 502);
  EXPECT_EQ(other.paths[other.requests[0]], "/waiting");
  other.claim(other.requests[0]);
  other.answer(other.requests[0], "done");
  ASSERT_TRUE(turn_until([&] { return waiting.client.ended; }));
  EXPECT_EQ(waiting.client.body, "done");
  EXPECT_EQ(lost_, std::vector<std::uint32_t>{1});
}

TEST_F(UpstreamTest, AClaimedIdempotentRequestIsRetriedOnceOnly) {
  add_worker(1);
  auto& request = send("/get");
  ASSERT_TRUE(turn_until([&] { return workers_[0]->requests.size() == 1; }));
  workers_[0]->claim(workers_[0]->requests[0]);
  workers_[0]->die();
  auto& second = add_worker(1);
  ASSERT_TRUE(turn_until([&] { return second.requests.size() == 1; }));
  second.claim(second.requests[0]);
  second.die();
  auto& third = add_worker(1);
  ASSERT_TRUE(turn_until([&] { return request.client.ended; }));
  EXPECT_EQ(request.client.status, 502);
  EXPECT_TRUE(third.requests.empty());
}

TEST_F(UpstreamTest, AnAnswerCutByItsWorkersDeathIsBrokenOff) {
  auto& worker = add_worker(1);
  auto& request = send("/half");
  ASSERT_TRUE(turn_until([&] { return worker.requests.size() == 1; }));
  worker.claim(worker.requests[0]);
  worker.answer(worker.requests[0], "half of", false);
  ASSERT_TRUE(turn_until([&] { return request.client.body == "half of"; }));
  worker.die();
  ASSERT_TRUE(turn_until([&] { return request.client.broken; }));
  EXPECT_FALSE(request.client.ended);
}

TEST_F(UpstreamTest, AWaitingRequestWhoseClientLeavesIsNeverSent) {
  auto& worker = add_worker(1);
  auto& first = send("/first");
  auto& gone = send("/gone");
  gone.exchange->on_client_gone();
  ASSERT_TRUE(turn_until([&] { return worker.requests.size() == 1; }));
  worker.claim(worker.requests[0]);
  worker.answer(worker.requests[0], "");
  auto& last = send("/last");
  ASSERT_TRUE(turn_until([&] { return worker.requests.size() == 2; }));
  EXPECT_EQ(worker.paths[worker.requests[1]], "/last");
  EXPECT_TRUE(first.client.ended);
  EXPECT_FALSE(last.client.ended);
}

TEST_F(UpstreamTest, AClaimedRequestWhoseClientLeavesIsAborted) {
  auto& worker = add_worker(1);
  auto& gone = send("/gone");
  ASSERT_TRUE(turn_until([&] { return worker.requests.size() == 1; }));
  const auto stream = worker.requests[0];
  worker.claim(stream);
  gone.exchange->on_client_gone();
  ASSERT_TRUE(turn_until([&] { return worker.aborts.size() == 1; }));
  EXPECT_EQ(worker.aborts[0], stream);
  send("/next");  // the worker's slot stays taken until it says that it has ended
  EXPECT_EQ(upstream_->queued(), 1U);
  worker.abort(stream);
  ASSERT_TRUE(turn_until([&] { return worker.requests.size() == 2; }));
}

TEST_F(UpstreamTest, AStreamedBodyRespectsTheWindow) {
  auto& worker = add_worker(4, false);
  const std::string data = pattern(200'000);
  auto& request = send("/up", ipc::Method::kPost, 200'000);
  ASSERT_TRUE(turn_until([&] { return worker.requests.size() == 1; }));
  const auto stream = worker.requests[0];
  request.exchange->on_body(std::string_view(data).substr(0, 120'000));
  ASSERT_TRUE(turn_until([&] { return worker.bodies[stream].size() == ipc::kRequestWindow; }));
  worker.claim(stream);
  worker.give_credit(stream, 200'000);
  ASSERT_TRUE(turn_until([&] { return worker.bodies[stream].size() == 120'000; }));
  request.exchange->on_body(std::string_view(data).substr(120'000));
  request.exchange->on_body_end();
  ASSERT_TRUE(turn_until([&] { return worker.bodies[stream].size() == 200'000; }));
  EXPECT_TRUE(worker.bodies[stream] == data);
}

TEST_F(UpstreamTest, ASlowClientStopsTheWorkerOnlyBeyondTheBuffers) {
  config_.limits.response_buffer = 100'000;
  config_.limits.response_spool = 0;
  start();
  auto& worker = add_worker(1);
  auto& request = send("/down");
  ASSERT_TRUE(turn_until([&] { return worker.requests.size() == 1; }));
  const auto stream = worker.requests[0];
  worker.claim(stream);
  request.client.room = false;
  worker.answer(stream, std::string(90'000, 'x'), false);
  // Credit comes in steps of 64 KiB; what is left over waits for the next one.
  ASSERT_TRUE(turn_until([&] { return worker.window_credit == 65'536; }));
  worker.more(stream, std::string(90'000, 'x'), false);
  loop_.run_once(std::chrono::milliseconds(100));
  worker.receive();
  EXPECT_EQ(worker.window_credit, 65'536U);
  request.client.room = true;
  request.exchange->on_downstream_ready();
  ASSERT_TRUE(turn_until([&] { return worker.window_credit == 180'000; }));
  worker.more(stream, "end", true);
  ASSERT_TRUE(turn_until([&] { return request.client.ended; }));
  EXPECT_EQ(request.client.body.size(), 180'003U);
}

TEST_F(UpstreamTest, ADrainedWorkerGivesBackWhatItHasNotBegunAndIsReportedIdle) {
  auto& worker = add_worker(2);
  send("/claimed");
  send("/unclaimed");
  ASSERT_TRUE(turn_until([&] { return worker.requests.size() == 2; }));
  worker.claim(worker.requests[0]);
  upstream_->drain_worker(1);
  EXPECT_EQ(upstream_->queued(), 1U);
  EXPECT_TRUE(idle_.empty());
  worker.answer(worker.requests[0], "");
  ASSERT_TRUE(turn_until([&] { return idle_.size() == 1; }));
}

TEST_F(UpstreamTest, ACommitMovesDispatchToTheNewGeneration) {
  auto& old = add_worker(1, true, 1);
  auto& fresh = add_worker(1, true, 2, true);
  upstream_->commit(2, &app_);
  EXPECT_EQ(idle_, std::vector<std::uint32_t>{1});
  send("/a");
  ASSERT_TRUE(turn_until([&] { return fresh.requests.size() == 1; }));
  EXPECT_TRUE(old.requests.empty());
}

TEST_F(UpstreamTest, ARollingCommitLetsBothGenerationsServeUntilAWorkerIsToldToLeave) {
  auto& old = add_worker(1, true, 1);
  auto& fresh = add_worker(1, true, 2, true);
  send("/a");
  send("/b");
  ASSERT_TRUE(turn_until([&] { return old.requests.size() == 1; }));
  EXPECT_EQ(upstream_->queued(), 1U) << "the new one stands by";
  upstream_->commit(2, &app_, true);
  ASSERT_TRUE(turn_until([&] { return fresh.requests.size() == 1; }));
  EXPECT_TRUE(idle_.empty());
  old.claim(old.requests[0]);
  old.answer(old.requests[0], "old");
  ASSERT_TRUE(turn_until([&] { return requests_[0]->client.ended; }));
  send("/c");
  ASSERT_TRUE(turn_until([&] { return old.requests.size() == 2; }));
  upstream_->drain_worker(1);
  EXPECT_EQ(idle_, std::vector<std::uint32_t>{1}) << "it had not begun what it had";
  fresh.claim(fresh.requests[0]);
  fresh.answer(fresh.requests[0], "new");
  ASSERT_TRUE(turn_until([&] { return fresh.requests.size() == 2; }));
}

TEST_F(UpstreamTest, NonsenseFromAWorkerCostsThatWorkerOnly) {
  auto& bad = add_worker(1);
  auto& request = send("/a");
  ASSERT_TRUE(turn_until([&] { return bad.requests.size() == 1; }));
  auto& good = add_worker(1);
  bad.send_raw(std::string(64, '\xff'));
  ASSERT_TRUE(turn_until([&] { return good.requests.size() == 1; }));
  good.claim(good.requests[0]);
  good.answer(good.requests[0], "fine");
  ASSERT_TRUE(turn_until([&] { return request.client.ended; }));
  EXPECT_EQ(request.client.body, "fine");
}

}  // namespace
}  // namespace saola::proxy
