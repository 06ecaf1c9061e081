#include "common/ipc/control_protocol.h"

#include <gmock/gmock.h>

namespace saola::ipc {
namespace {

using testing::HasSubstr;
using testing::Not;

template <class Request>
Request there_and_back(const Request& request) {
  const std::string line = to_line(ControlRequest(request));
  EXPECT_THAT(line, Not(HasSubstr("\n")));
  const auto parsed = parse_control_request(line);
  EXPECT_TRUE(parsed) << line << ": " << parsed.error().message;
  return std::get<Request>(*parsed);
}

std::string problem(std::string_view line) {
  const auto parsed = parse_control_request(line);
  return parsed ? "none" : parsed.error().message;
}

TEST(ControlProtocol, EveryRequestComesBackAsItWas) {
  there_and_back(StatusRequest{});
  there_and_back(RequestsRequest{});
  there_and_back(DrainRequest{});
  there_and_back(ReopenRequest{});
  there_and_back(UpgradeRequest{});
  EXPECT_TRUE(there_and_back(ReloadRequest{true}).rolling);
  EXPECT_FALSE(there_and_back(ReloadRequest{false}).rolling);
  EXPECT_TRUE(there_and_back(StopRequest{true}).at_once);
  const auto scale = there_and_back(ScaleRequest{"shop\n\"", 12});
  EXPECT_EQ(scale.app, "shop\n\"");
  EXPECT_EQ(scale.workers, 12);
  EXPECT_EQ(there_and_back(ScaleRequest{"", 1}).app, "");
  EXPECT_EQ(there_and_back(StacksRequest{7}).worker, 7U);
  EXPECT_EQ(there_and_back(StacksRequest{}).worker, std::nullopt);
  EXPECT_EQ(there_and_back(RecycleRequest{0xffffffff}).worker, 0xffffffffU);
}

TEST(ControlProtocol, OptionsMayBeLeftOut) {
  const auto reload = parse_control_request(R"( {"command":"reload"} )");
  ASSERT_TRUE(reload);
  EXPECT_FALSE(std::get<ReloadRequest>(*reload).rolling);
}

TEST(ControlProtocol, WhatIsNotUnderstoodIsRefusedWithTheReason) {
  EXPECT_THAT(problem(""), HasSubstr("one JSON object"));
  EXPECT_THAT(problem("status"), HasSubstr("one JSON object"));
  EXPECT_THAT(problem("[]"), HasSubstr("one JSON object"));
  EXPECT_THAT(problem("{}"), HasSubstr("\"command\" is missing"));
  EXPECT_THAT(problem(R"({"command":7})"), HasSubstr("\"command\" must be a string"));
  EXPECT_THAT(problem(R"({"command":"dance"})"), HasSubstr("unknown command \"dance\""));
  EXPECT_THAT(problem(R"({"command":"reload","roling":true})"), HasSubstr("\"roling\""));
  EXPECT_THAT(problem(R"({"command":"reload","rolling":1})"), HasSubstr("true or false"));
  EXPECT_THAT(problem(R"({"command":"scale"})"), HasSubstr("\"workers\" is missing"));
  for (const char* count : {"0", "-1", "1025", "1.5", "\"3\"", "18446744073709551616"}) {
    EXPECT_THAT(problem(std::string(R"({"command":"scale","workers":)") + count + "}"),
                HasSubstr("must be a number from 1 to 1024"))
        << count;
  }
  EXPECT_THAT(problem(R"({"command":"recycle"})"), HasSubstr("\"worker\" is missing"));
  EXPECT_THAT(problem(std::string(kMaxControlRequest + 1, ' ')), HasSubstr("too long"));
  EXPECT_THAT(problem(std::string(kMaxControlRequest, '[')), HasSubstr("one JSON object"));
}

Status some_status() {
  Status status;
  status.version = "1.2.3";
  status.pid = 4711;
  status.state = "serving";
  status.ready = true;
  status.uptime_seconds = 12.5;
  status.generation = 3;
  status.config_path = "/etc/saola.toml";
  status.addresses = {"http://127.0.0.1:8000"};
  status.edge_pid = 4712;
  status.edge_restarts = 1;
  status.apps = {{"app", "shop:app", "wsgi", 2, 1, 4, 5, {{"max_requests", 7}}, true}};
  status.workers = {{1, "app", 3, 4713, "ready", 10.25, 100, 98, 1ULL << 33, "max_age"}};
  status.last_reload = ReloadStatus{60, false, "Traceback\n  x"};
  return status;
}

TEST(ControlProtocol, AStatusComesBackAsItWas) {
  const std::string line = to_line(ControlAnswer{{}, some_status(), std::nullopt});
  EXPECT_THAT(line, Not(HasSubstr("\n")));
  const auto answer = parse_control_answer(line);
  ASSERT_TRUE(answer) << answer.error().message;
  ASSERT_TRUE(*answer);
  ASSERT_TRUE((*answer)->status);
  const Status& status = *(*answer)->status;
  // What is written again from what was read is the same text, so nothing got lost.
  EXPECT_EQ(status_to_json(status, nullptr), status_to_json(some_status(), nullptr));
  EXPECT_EQ(status.apps.at(0).recycled.at(0).first, "max_requests");
  EXPECT_EQ(status.apps.at(0).recycled.at(0).second, 7U);
  EXPECT_EQ(status.workers.at(0).memory_bytes, 1ULL << 33);
  EXPECT_EQ(status.last_reload.value().message, "Traceback\n  x");
  EXPECT_EQ(status.uptime_seconds, 12.5);
}

TEST(ControlProtocol, AnswersCarryTextReportsOrReasons) {
  const auto text = parse_control_answer(to_line(ControlAnswer{"done", {}, {}}));
  EXPECT_EQ((*text)->message, "done");
  EdgeReport report;
  report.connections = 7;
  report.requests = {{1, "id", "GET", "/", "running", 0.5}};
  const auto requests = parse_control_answer(to_line(ControlAnswer{{}, {}, report}));
  ASSERT_TRUE(requests) << requests.error().message;
  EXPECT_EQ((*requests)->requests.value().connections, 7U);
  EXPECT_EQ((*requests)->requests.value().requests.at(0).method, "GET");
  const auto refused = parse_control_answer(to_line(Result<ControlAnswer>(fail("no\n\xff"))));
  ASSERT_TRUE(refused);
  ASSERT_FALSE(*refused);
  EXPECT_EQ(refused->error().message, "no\n\xef\xbf\xbd");
}

TEST(ControlProtocol, AnAnswerThatCannotBeUnderstoodIsAnError) {
  for (const char* line : {"", "x", "{}", R"({"ok":1})", R"({"ok":true,"status":{}})",
                           R"({"ok":false})", R"({"ok":true,"requests":[]})"}) {
    EXPECT_FALSE(parse_control_answer(line)) << line;
  }
  const auto later = parse_control_answer(R"({"ok":true,"message":"m","new":{}})");
  ASSERT_TRUE(later);
  EXPECT_EQ((*later)->message, "m");
}

}  // namespace
}  // namespace saola::ipc
