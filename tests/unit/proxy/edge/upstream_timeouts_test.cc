// Time-outs of requests that a worker runs (docs/timeouts.md): 504, ABORT, and what ignores both.
#include <gmock/gmock.h>

#include "tests/unit/proxy/edge/upstream_fixture.h"

namespace saola::proxy {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;
using testing::Not;

class UpstreamTimeouts : public UpstreamTest {
 protected:
  UpstreamTimeouts() {
    app_.request_timeout = milliseconds(100);
    app_.timeout_grace = milliseconds(50);
    start();
  }

  // A worker that has claimed a request for `path`.
  std::uint32_t claimed(FakeWorker& worker, std::size_t index = 0) {
    EXPECT_TRUE(turn_until([&] { return worker.requests.size() > index; }));
    const auto stream = worker.requests.at(index);
    EXPECT_TRUE(worker.claim(stream));
    return stream;
  }
  bool turns_for(milliseconds time) {
    const auto end = std::chrono::steady_clock::now() + time;
    return turn_until([&] { return std::chrono::steady_clock::now() > end; });
  }
};

TEST_F(UpstreamTimeouts, ASilentWorkersRequestIsAnswered504AndTheWorkerIsTold) {
  auto& worker = add_worker(1);
  auto& request = send("/stuck");
  const auto stream = claimed(worker);
  ASSERT_TRUE(turn_until([&] { return request.client.ended && !worker.aborts.empty(); }));
  EXPECT_EQ(request.client.status, 504);
  EXPECT_EQ(request.exchange->outcome(), "request_timeout");
  EXPECT_EQ(worker.abort_reasons[stream], ipc::AbortReason::kTimeout);
  EXPECT_THAT(sink_.text, HasSubstr("request=test: request_timeout = 100ms passed: GET /stuck in "
                                    "worker 1"));
}

TEST_F(UpstreamTimeouts, WaitingIsNotRunning) {
  auto& worker = add_worker(1);
  auto& waits = send("/unclaimed");
  auto& queued = send("/queued");
  ASSERT_TRUE(turn_until([&] { return worker.requests.size() == 1; }));
  ASSERT_TRUE(turns_for(milliseconds(300)));
  EXPECT_FALSE(waits.client.ended);
  EXPECT_FALSE(queued.client.ended);
  claimed(worker);
  ASSERT_TRUE(turn_until([&] { return waits.client.status == 504; }));
}

TEST_F(UpstreamTimeouts, AnAnswerThatStopsIsBrokenOff) {
  auto& worker = add_worker(1);
  auto& request = send("/half");
  worker.answer(claimed(worker), "half of", false);
  ASSERT_TRUE(turn_until([&] { return request.client.broken; }));
  EXPECT_EQ(request.client.status, 200);
  EXPECT_EQ(request.client.body, "half of");
  EXPECT_EQ(request.exchange->outcome(), "request_timeout");
  EXPECT_THAT(sink_.text, HasSubstr("the answer is broken off"));
}

TEST_F(UpstreamTimeouts, AStreamLivesAsLongAsItsPiecesCome) {
  app_.request_timeout = milliseconds(1000);
  start();
  auto& worker = add_worker(4, false);
  auto& request = send("/events");
  const auto stream = claimed(worker);
  worker.answer(stream, "", false);
  for (int i = 0; i < 12; ++i) {
    ASSERT_TRUE(turns_for(milliseconds(100)));
    worker.more(stream, "x", false);
  }
  worker.more(stream, "", true);
  ASSERT_TRUE(turn_until([&] { return request.client.ended; }));
  EXPECT_EQ(request.client.body, std::string(12, 'x'));
  EXPECT_TRUE(worker.aborts.empty());
}

TEST_F(UpstreamTimeouts, AClientThatDoesNotReadIsNotTheWorkersFault) {
  auto& worker = add_worker(1);
  auto& request = send("/big");
  const auto stream = claimed(worker);
  request.client.room = false;
  worker.answer(stream, std::string(1000, 'x'), false);
  ASSERT_TRUE(turns_for(milliseconds(300)));
  EXPECT_FALSE(request.client.broken);
  EXPECT_TRUE(worker.aborts.empty());
  request.client.room = true;
  request.exchange->on_downstream_ready();
  ASSERT_TRUE(turn_until([&] { return request.client.broken; }));  // now it is
}

TEST_F(UpstreamTimeouts, AClientThatUploadsSlowlyIsNotTheWorkersFault) {
  auto& worker = add_worker(4, false);
  auto& request = send("/up", ipc::Method::kPost, 10);
  claimed(worker);
  request.exchange->on_body("01234");
  ASSERT_TRUE(turns_for(milliseconds(300)));
  EXPECT_FALSE(request.client.ended);
  request.exchange->on_body("56789");
  request.exchange->on_body_end();
  ASSERT_TRUE(turn_until([&] { return request.client.status == 504; }));
}

TEST_F(UpstreamTimeouts, TheWholeTimeEndsAlsoALivelyRequest) {
  app_.request_max_time = milliseconds(200);
  start();
  auto& worker = add_worker(4, false);
  auto& request = send("/events");
  const auto stream = claimed(worker);
  worker.answer(stream, "", false);
  ASSERT_TRUE(turn_until([&] {
    if (worker.aborts.empty()) worker.more(stream, "x", false);
    return request.client.broken;
  }));
  EXPECT_EQ(request.exchange->outcome(), "request_max_time");
}

TEST_F(UpstreamTimeouts, TheRouteOverridesTheApp) {
  auto& worker = add_worker(4, false);
  route_timeout_ = milliseconds(0);  // off
  auto& patient = send("/patient");
  claimed(worker, 0);
  route_timeout_.reset();
  route_max_time_ = milliseconds(50);
  auto& limited = send("/limited");
  claimed(worker, 1);
  ASSERT_TRUE(turn_until([&] { return limited.client.ended; }));
  EXPECT_EQ(limited.exchange->outcome(), "request_max_time");
  ASSERT_TRUE(turns_for(milliseconds(300)));
  EXPECT_FALSE(patient.client.ended);
}

TEST_F(UpstreamTimeouts, SyncMaxTimeIsForWorkersThatRunOneWsgiRequestAtATime) {
  app_.request_timeout = milliseconds(0);
  app_.sync_max_time = milliseconds(100);
  start();
  auto& threads = add_worker(2);
  auto& patient = send("/threads");
  claimed(threads);
  upstream_->drain_worker(1);
  auto& sync = add_worker(1);
  auto& request = send("/sync");
  claimed(sync);
  ASSERT_TRUE(turn_until([&] { return request.client.ended; }));
  EXPECT_EQ(request.client.status, 504);
  EXPECT_EQ(request.exchange->outcome(), "request_max_time");
  EXPECT_FALSE(patient.client.ended);
}

TEST_F(UpstreamTimeouts, TheSlotIsTheWorkersUntilItHasEnded) {
  auto& worker = add_worker(1);
  auto& request = send("/stuck");
  const auto stream = claimed(worker);
  ASSERT_TRUE(turn_until([&] { return request.client.ended; }));
  send("/next");
  EXPECT_EQ(upstream_->queued(), 1U);
  worker.abort(stream);
  ASSERT_TRUE(turn_until([&] { return worker.requests.size() == 2; }));
  EXPECT_TRUE(overdue_.empty());
}

TEST_F(UpstreamTimeouts, WhatIgnoresItsTimeOutIsReportedOnceByName) {
  auto& worker = add_worker(4, false);
  send("/deaf/1");
  send("/deaf/2");
  claimed(worker, 0);
  claimed(worker, 1);
  ASSERT_TRUE(turn_until([&] { return !overdue_.empty(); }));
  send("/deaf/3");
  claimed(worker, 2);
  ASSERT_TRUE(turn_until([&] { return sink_.text.find("/deaf/3 still runs") != sink_.text.npos; }));
  ASSERT_EQ(overdue_.size(), 1U);
  EXPECT_EQ(overdue_[0].first, 1U);
  EXPECT_THAT(overdue_[0].second, HasSubstr("request test (GET /deaf/1)"));
  EXPECT_THAT(overdue_[0].second, HasSubstr("request test (GET /deaf/2)"));
}

TEST_F(UpstreamTimeouts, OverdueRequestsDoNotHoldUpADrain) {
  auto& worker = add_worker(4, false);
  send("/deaf");
  auto& good = send("/good");
  const auto deaf = claimed(worker, 0);
  ASSERT_TRUE(turn_until([&] { return !overdue_.empty(); }));
  const auto stream = claimed(worker, 1);
  upstream_->drain_worker(1);
  EXPECT_TRUE(idle_.empty());
  worker.answer(stream, "fine");
  ASSERT_TRUE(turn_until([&] { return good.client.ended && idle_.size() == 1; }));
  worker.abort(deaf);  // it ends after all
  ASSERT_TRUE(turns_for(milliseconds(50)));
  EXPECT_EQ(idle_.size(), 1U);
}

TEST_F(UpstreamTimeouts, ADrainingWorkerIsIdleOnceTheRestIsOverdue) {
  auto& worker = add_worker(1);
  send("/deaf");
  claimed(worker);
  upstream_->drain_worker(1);
  EXPECT_TRUE(idle_.empty());
  ASSERT_TRUE(turn_until([&] { return idle_.size() == 1; }));
  EXPECT_EQ(overdue_.size(), 1U);
}

TEST_F(UpstreamTimeouts, WhatItsClientHasLeftIsWatchedToo) {
  auto& worker = add_worker(1);
  auto& gone = send("/gone");
  const auto stream = claimed(worker);
  gone.exchange->on_client_gone();
  ASSERT_TRUE(turn_until([&] { return worker.aborts.size() == 1; }));
  EXPECT_EQ(worker.abort_reasons[stream], ipc::AbortReason::kClientGone);
  ASSERT_TRUE(turn_until([&] { return worker.aborts.size() == 2; }));
  EXPECT_EQ(worker.abort_reasons[stream], ipc::AbortReason::kTimeout);
  ASSERT_TRUE(turn_until([&] { return overdue_.size() == 1; }));
  EXPECT_THAT(overdue_[0].second, HasSubstr("GET /gone"));
  worker.abort(stream);
  send("/next");
  ASSERT_TRUE(turn_until([&] { return worker.requests.size() == 2; }));
  EXPECT_EQ(gone.exchange->outcome(), "client_gone");
}

TEST_F(UpstreamTimeouts, NothingIsTimedWhenAllIsOff) {
  app_.request_timeout = milliseconds(0);
  start();
  auto& worker = add_worker(1);
  auto& request = send("/long");
  const auto stream = claimed(worker);
  ASSERT_TRUE(turns_for(milliseconds(300)));
  EXPECT_TRUE(worker.aborts.empty());
  worker.answer(stream, "late");
  ASSERT_TRUE(turn_until([&] { return request.client.ended; }));
  EXPECT_THAT(sink_.text, Not(HasSubstr("timeout")));
}

}  // namespace
}  // namespace saola::proxy
