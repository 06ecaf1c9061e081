#include "proxy/admin/worker_board.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <map>

namespace saola::proxy {
namespace {

using ipc::WorkerPhase;
using testing::SizeIs;

class WorkerBoardTest : public testing::Test {
 protected:
  void set(std::size_t index, std::uint32_t id, WorkerPhase phase, const char* app) {
    auto& used = board_.server().slots_used;
    used = std::max(used.load(), static_cast<std::uint32_t>(index + 1));
    auto& slot = board_.slot(index);
    slot.worker_id = id;
    slot.phase = static_cast<std::uint32_t>(phase);
    slot.app = ipc::app_hash(app);
  }
  std::map<std::string, double> shown(const std::string& name) {
    Families families;
    view_.add_to(families, std::chrono::steady_clock::now());
    std::map<std::string, double> out;
    for (const auto& family : families.take()) {
      if (family.name != name) continue;
      for (const auto& metric : family.metric) {
        std::string key;
        for (const auto& label : metric.label) key += (key.empty() ? "" : " ") + label.value;
        out[key] = metric.gauge.value + metric.counter.value;
      }
    }
    return out;
  }

  UniqueFd file_ = ipc::Scoreboard::create_file().value();
  ipc::Scoreboard board_ = ipc::Scoreboard::map(file_).value();
  WorkerBoard view_{ipc::Scoreboard::map(file_).value(), {"shop", "blog"}};
};

TEST_F(WorkerBoardTest, LooksAtNoPageThatNobodyUsed) {
  set(1, 12, WorkerPhase::kReady, "shop");
  shown("saola_workers");
  struct stat info {};
  ASSERT_EQ(::fstat(file_.get(), &info), 0);
  // A page each for two slots and for the server.
  EXPECT_LE(info.st_blocks * 512, 3 * ::sysconf(_SC_PAGESIZE));
}

TEST_F(WorkerBoardTest, ShowsThoseThatLive) {
  set(3, 12, WorkerPhase::kReady, "shop");
  set(0, 13, WorkerPhase::kBooting, "blog");
  set(1, 11, WorkerPhase::kExited, "shop");
  set(2, 14, static_cast<WorkerPhase>(77), "shop");
  const auto workers = view_.workers();
  ASSERT_THAT(workers, SizeIs(2));
  EXPECT_EQ(workers[0].id, 12U);
  EXPECT_EQ(workers[0].app, "shop");
  EXPECT_EQ(workers[1].app, "blog");
}

TEST_F(WorkerBoardTest, CountsEveryStateOfEveryAppAlsoIfThereIsNone) {
  set(0, 1, WorkerPhase::kReady, "shop");
  set(1, 2, WorkerPhase::kReady, "shop");
  const auto counts = shown("saola_workers");
  EXPECT_THAT(counts, SizeIs(6));
  EXPECT_EQ(counts.at("shop ready"), 2);
  EXPECT_EQ(counts.at("blog ready"), 0);
}

TEST_F(WorkerBoardTest, ValuesThatMakeNoSenseAreHarmless) {
  set(0, 1, WorkerPhase::kReady, "renamed by hand");
  auto& slot = board_.slot(0);
  slot.pid = 0xffffffff;
  slot.requests_started = 5;
  slot.requests_finished = 7;
  slot.heartbeat_ns = ~std::uint64_t{0};
  EXPECT_EQ(shown("saola_worker_running_requests").at("? 1"), 0);
  EXPECT_EQ(shown("saola_worker_silence_seconds").at("? 1"), 0);
}

TEST_F(WorkerBoardTest, SaysWhatAProcessUses) {
  set(0, 1, WorkerPhase::kReady, "shop");
  board_.slot(0).pid = static_cast<std::uint32_t>(::getpid());
  EXPECT_GT(shown("saola_worker_resident_memory_bytes").at("shop 1"), 1e6);
  EXPECT_THAT(shown("saola_worker_cpu_seconds_total"), SizeIs(2));
}

}  // namespace
}  // namespace saola::proxy
