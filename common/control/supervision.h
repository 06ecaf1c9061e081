// Supervision: the supervisor's work between its start and its end: one edge, the workers, and the
// order in which they come and go. Starts nothing itself (Launcher does) and opens no file.
//
//   kStarting    the edge, then the workers; what cannot start ends the whole start
//   kServing     what dies is replaced
//   kDraining    the edge takes no new request and finishes; workers are still replaced, it needs
//   them kLeaving     the edge is done; workers finish what runs after their answers, then end
//   kStopping    everything ends at once
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "common/config/config.h"
#include "common/control/edge_keeper.h"
#include "common/control/start_report.h"
#include "common/control/supervision_files.h"
#include "common/control/worker_pool.h"

namespace saola::control {

class Supervision final : private EdgeKeeper::Observer, private WorkerPool::Observer {
 public:
  // What workers get to end properly (lifespan shutdown) when the edge has used up the graceful
  // time-out.
  static constexpr std::chrono::seconds kLastGrace{2};
  // The second signal: time to write the last log lines.
  static constexpr std::chrono::milliseconds kAtOnceGrace{300};
  static constexpr std::chrono::seconds kFailedStartGrace{1};

  // References outlive it. `stop_listening` is called once, when the edge has been told to drain.
  // `addresses` are shown in the log when the edge accepts on them.
  Supervision(EventLoop& loop, Launcher& launcher, const Logger& log, const StartReport& report,
              const config::Config& config, const SupervisionFiles& files,
              ipc::Scoreboard& scoreboard, std::vector<std::string> addresses,
              std::function<void()> stop_listening);

  // Starts the edge; what follows happens in the loop.
  void start() { edge_.start(); }
  // Runs the loop until every child has ended after stop() or a failed start. Returns the exit
  // code.
  int run();

  // Begins a graceful stop; called again, ends everything at once. `why` for the log: "SIGTERM".
  void stop(const std::string& why);
  // The files of the log descriptors were opened anew under the same numbers.
  void reopen_logs();

 private:
  enum class Phase : std::uint8_t { kStarting, kServing, kDraining, kLeaving, kStopping };

  void edge_ready() override;
  void edge_lost() override;
  void edge_failed(const std::string& reason, bool its_words) override;
  void edge_drained() override;
  void edge_gone() override;
  void worker_wire_lost(std::uint32_t worker_id, const std::string& reason) override;

  void worker_ready(const ipc::WorkerAdd& worker, int wire, int claims) override;
  void worker_gone(std::uint32_t worker_id) override;
  void all_ready() override;
  void app_failed(const std::string& app, const std::string& reason) override;
  void pool_empty() override;

  void fail_start(int exit_code, const std::string& problem);
  void stop_at_once(Clock::duration grace);
  void drain_workers();
  void finish_if_done();

  EventLoop& loop_;
  const Logger& log_;
  const StartReport& report_;
  const config::Config& config_;
  const std::vector<std::string> addresses_;
  std::function<void()> stop_listening_;
  const Clock::time_point started_at_;
  EdgeKeeper edge_;
  WorkerPool pool_;
  Phase phase_ = Phase::kStarting;
  Clock::time_point graceful_deadline_{};
  int exit_code_ = 0;
  bool shown_ = false;
  bool edge_gone_ = false;
  bool done_ = false;
};

}  // namespace saola::control
