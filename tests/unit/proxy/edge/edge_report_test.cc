// What the edge says of the requests that run and wait.
#include "proxy/edge_report.h"

#include <string_view>

#include "tests/unit/proxy/edge/upstream_fixture.h"

namespace saola::proxy {
namespace {

TEST_F(UpstreamTest, TheReportNamesWhatRunsAndCountsWhatWaits) {
  using std::chrono::seconds;
  add_worker(2);
  const auto send_at = [this](std::string_view path, Clock::duration ago) {
    auto& request = send("/");
    // The report shows the path as it was sent.
    request.exchange->head.raw_path = path;
    request.exchange->started = loop_.now() - ago;
  };
  send_at("/young", seconds(1));
  send_at("/old", seconds(100));
  send_at("/waits", seconds(3));
  ASSERT_TRUE(turn_until([&] { return workers_[0]->requests.size() == 2; }));
  ASSERT_TRUE(workers_[0]->claim(workers_[0]->requests[1]));
  ipc::EdgeReport report;
  upstream_->add_to(report);
  keep_longest(report);
  ASSERT_EQ(report.apps.size(), 1U);
  EXPECT_EQ(report.apps[0].app, "app");
  EXPECT_EQ(report.apps[0].queued, 1U);
  EXPECT_EQ(report.apps[0].running, 2U);
  EXPECT_EQ(report.apps[0].finished, 0U);
  EXPECT_GT(report.apps[0].longest_wait, 0);
  ASSERT_EQ(report.requests.size(), 2U);
  EXPECT_EQ(report.requests[0].path, "/old");
  EXPECT_EQ(report.requests[0].state, "running");
  EXPECT_EQ(report.requests[0].method, "GET");
  EXPECT_EQ(report.requests[0].request_id, "test");
  EXPECT_EQ(report.requests[0].worker_id, 1U);
  EXPECT_GE(report.requests[0].seconds, 100);
  EXPECT_EQ(report.requests[1].path, "/young");
  EXPECT_EQ(report.requests[1].state, "sent");

  workers_[0]->answer(workers_[0]->requests[1], "done");
  ASSERT_TRUE(turn_until([&] { return requests_[1]->client.ended; }));
  report = {};
  upstream_->add_to(report);
  EXPECT_EQ(report.apps[0].finished, 1U);
  EXPECT_GE(report.apps[0].finished_seconds, 100);
  EXPECT_EQ(report.apps[0].queued, 0U);
}

TEST(EdgeReport, KeepsTheLongestRunning) {
  ipc::EdgeReport report;
  for (int i = 0; i < 300; ++i) {
    ipc::RunningRequest request;
    request.seconds = i;
    report.requests.push_back(request);
  }
  keep_longest(report);
  ASSERT_EQ(report.requests.size(), ipc::EdgeReport::kMaxRequests);
  EXPECT_EQ(report.requests.front().seconds, 299);
  EXPECT_EQ(report.requests.back().seconds, 100);
}

}  // namespace
}  // namespace saola::proxy
