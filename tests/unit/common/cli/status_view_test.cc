#include "common/cli/status_view.h"

#include <gmock/gmock.h>

#include <sstream>

#include "common/cli/terminal_text.h"

namespace saola::cli {
namespace {

using std::chrono::seconds;
using testing::HasSubstr;

std::vector<std::string> lines_of(const std::string& text) {
  std::istringstream input(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(input, line);) lines.push_back(line);
  return lines;
}

ipc::Status some_status() {
  ipc::Status status;
  status.version = "1.2.3";
  status.pid = 4711;
  status.state = "serving";
  status.ready = true;
  status.uptime_seconds = 7325;
  status.generation = 3;
  status.config_path = "/etc/saola.toml";
  status.addresses = {"https://0.0.0.0:8443", "http://0.0.0.0:8080"};
  status.edge_pid = 4712;
  status.apps = {{"app", "shop:app", "wsgi", 2, 2, 2, 1, {{"max_requests", 7}}, false}};
  status.workers = {{1, "app", 3, 4713, "ready", 65, 1000, 998, 150ULL << 20, ""},
                    {2, "app", 3, 4714, "draining", 3.5, 5, 5, 0, "max_age"}};
  return status;
}

ipc::EdgeReport some_report() {
  ipc::EdgeReport report;
  report.connections = 12;
  report.apps = {{"app", 4, 0.25, 2, 1000, 50}};
  report.requests = {{1, "id", "GET", "/slow", "running", 90}};
  return report;
}

TEST(StatusView, ShowsWhatAPersonAsksFor) {
  const std::string expected =
      "saola 1.2.3  serving  pid 4711  up 2h02m  generation 3\n"
      "config   /etc/saola.toml\n"
      "listens  https://0.0.0.0:8443, http://0.0.0.0:8080\n"
      "edge     pid 4712\n"
      "\n"
      "APP  TARGET    KIND  WORKERS  CRASHES  RECYCLED\n"
      "app  shop:app  wsgi        2        1  max_requests 7\n"
      "\n"
      "WORKER  APP   PID  GEN  STATE       AGE  REQUESTS  RUNNING   MEMORY  LEAVES BECAUSE OF\n"
      "     1  app  4713    3  ready     1m05s       998        2  150 MiB\n"
      "     2  app  4714    3  draining   3.5s         5        0        -  max_age\n";
  EXPECT_EQ(render_status(some_status(), nullptr), expected);
}

TEST(StatusView, ShowsWhatRunsIfAsked) {
  const auto report = some_report();
  const std::string text = render_status(some_status(), &report);
  EXPECT_THAT(text, HasSubstr("12 connections, 1 requests run\n"));
  EXPECT_THAT(text, HasSubstr("  FOR  WORKER  STATE    METHOD  PATH\n"
                              "1m30s       1  running  GET     /slow\n"));
}

TEST(StatusView, SaysWhatIsWrong) {
  ipc::Status status = some_status();
  status.ready = false;
  status.state = "starting";
  status.edge_pid = 0;
  status.edge_restarts = 2;
  status.config_path.clear();
  status.apps[0].crash_looping = true;
  status.apps[0].workers_max = 8;
  status.last_reload = ipc::ReloadStatus{61, false, "app 'app' cannot be loaded\nTraceback"};
  const std::string text = render_status(status, nullptr);
  EXPECT_THAT(text, HasSubstr("starting, not ready"));
  EXPECT_THAT(text, HasSubstr("config   (command line)\n"));
  EXPECT_THAT(text, HasSubstr("edge     none now, restarts 2\n"));
  EXPECT_THAT(text, HasSubstr("CRASH LOOP"));
  EXPECT_THAT(text, HasSubstr("2 of 2-8"));
  EXPECT_THAT(text, HasSubstr("reload   FAILED 1m01s ago: app 'app' cannot be loaded\n"));
}

TEST(StatusView, TextsOfOthersCannotCommandTheTerminal) {
  ipc::Status status = some_status();
  status.workers[0].app = "\x1b[2J";
  status.addresses = {"unix:/tmp/\x1b]0;owned\x07"};
  ipc::EdgeReport report = some_report();
  report.requests[0].path =
      "/a\r\n\xc2\x9b"
      "2J\xff";
  report.requests[0].method = "\x1b";
  const std::string text = render_status(status, &report);
  for (const char control : {'\x1b', '\x07', '\r', '\x9b'}) {
    EXPECT_EQ(text.find(control), std::string::npos) << int(control);
  }
  EXPECT_THAT(text, HasSubstr("/a\\x0d\\x0a\\xc2\\x9b2J\\xff"));
  const std::string top = render_top(nullptr, {{}, status, report}, {});
  for (const char control : {'\x1b', '\x07', '\r'}) {
    EXPECT_EQ(top.find(control), std::string::npos) << int(control);
  }
}

TEST(TopView, RatesAreDifferencesOfTwoLooks) {
  Sample before{std::chrono::steady_clock::time_point(), some_status(), some_report()};
  Sample now{before.at + seconds(2), some_status(), some_report()};
  now.status.workers[0].requests_finished += 30;
  now.report->apps[0].finished += 400;
  now.report->apps[0].finished_seconds += 2;
  const auto lines = lines_of(render_top(&before, now, {80, 24}));
  EXPECT_EQ(lines[3], "APP  WORKERS  REQ/S  MEAN  RUNNING  QUEUED  WAITED");
  EXPECT_EQ(lines[4], "app        2    200   5ms        2       4   250ms");
  EXPECT_EQ(lines[6], "WORKER   PID  GEN  STATE       AGE  REQ/S  RUN   MEMORY  LEAVES");
  EXPECT_EQ(lines[7], "     1  4713    3  ready     1m05s   15.0    0  150 MiB");
}

TEST(TopView, AFirstLookAndARestartedEdgeHaveNoRates) {
  Sample before{std::chrono::steady_clock::time_point(), some_status(), some_report()};
  Sample now{before.at + seconds(1), some_status(), some_report()};
  now.report->apps[0].finished = 3;  // counts began anew
  now.status.workers[0].pid = 9;     // another process under the same number
  for (const Sample* earlier : std::initializer_list<const Sample*>{nullptr, &before}) {
    const auto lines = lines_of(render_top(earlier, now, {80, 24}));
    EXPECT_EQ(lines[4], "app        2      -     -        2       4   250ms");
    EXPECT_THAT(lines[7], HasSubstr("1m05s      -"));
  }
  now.report.reset();
  EXPECT_THAT(render_top(&before, now, {80, 24}), HasSubstr("no edge now"));
}

TEST(TopView, FitsIntoTheScreenWhateverThereIs) {
  Sample now{{}, some_status(), some_report()};
  now.status.apps[0].name = std::string(64, 'n');
  for (std::uint32_t i = 0; i < 300; ++i) {
    now.status.workers.push_back(
        {i, "app", i, 4000000 + i, "draining", 1e6, 1ULL << 60, 0, 1ULL << 45, "max_requests"});
    now.report->requests.push_back({i, "id", "GET", std::string(200, 'p'), "answering", 1e9});
  }
  for (const std::size_t rows : {1, 2, 5, 10, 24, 100}) {
    for (const std::size_t width : {1, 20, 80, 300}) {
      const auto lines = lines_of(render_top(nullptr, now, {width, rows}));
      EXPECT_LE(lines.size(), rows) << width;
      for (const auto& line : lines) EXPECT_LE(columns(line), width) << line;
    }
  }
  const std::string text = render_top(nullptr, now, {80, 24});
  EXPECT_THAT(text, HasSubstr("... "));
  EXPECT_THAT(text, HasSubstr("PATH")) << "what runs has a part of the screen";
}

TEST(TerminalText, TimesAndSizesAreShort) {
  EXPECT_EQ(short_time(0), "0ms");
  EXPECT_EQ(short_time(0.9), "900ms");
  EXPECT_EQ(short_time(12.34), "12.3s");
  EXPECT_EQ(short_time(65), "1m05s");
  EXPECT_EQ(short_time(3 * 3600 + 60 * 7), "3h07m");
  EXPECT_EQ(short_time(86'400 * 5 + 7200), "5d02h");
  EXPECT_EQ(short_time(-1), "-");
  EXPECT_EQ(short_bytes(512), "512 B");
  EXPECT_EQ(short_bytes(1536), "1.5 KiB");
  EXPECT_EQ(short_bytes(150.0 * 1024 * 1024), "150 MiB");
}

TEST(TerminalText, CellsCountCharactersNotBytes) {
  EXPECT_EQ(columns("naïve"), 5U);
  EXPECT_EQ(clipped("naïveté", 4), "naï…");
  EXPECT_EQ(left("ï", 3), "ï  ");
  EXPECT_EQ(right("ï", 3), "  ï");
  EXPECT_EQ(clipped("abc", 0), "");
  EXPECT_EQ(terminal_block("a\n\tb\x1b"), "a\n    b\\x1b");
}

}  // namespace
}  // namespace saola::cli
