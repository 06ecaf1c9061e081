// Supervision: the supervisor's work between its start and its end: one edge, the workers, and the
// order in which they come and go. Starts nothing itself (Launcher does) and opens no file.
//
//   kStarting    the edge, then the workers; what cannot start ends the whole start
//   kServing     what dies is replaced; a reload puts a new generation in place of the old one
//   kWaiting     told to stop: not ready any more, load balancers get drain_delay to notice
//   kDraining    the edge takes no new request and finishes; workers are still replaced, it needs
//                them
//   kLeaving     the edge is done; workers finish what runs after their answers, then end
//   kStopping    everything ends at once
//
// A reload (supervision_reload.cc):
//
//   read and open everything that the new configuration names -> the edge prepares it
//   -> the new generation's workers boot, standing by -> ready_path answers -> commit
//
// Up to the commit any failure leaves everything as it was; the commit itself cannot fail: the edge
// dispatches to the new workers in one step, the old ones finish what they have.
//
// A rolling one (supervision_rolling.cc) commits when one new worker of each app is ready; the edge
// then dispatches to both generations until the new one has taken the seats of the other one by
// one. A reload that is asked for meanwhile begins at once, and takes over if it gets so far.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "common/control/admin_keeper.h"
#include "common/control/control_commands.h"
#include "common/control/edge_keeper.h"
#include "common/control/generation.h"
#include "common/control/predecessors.h"
#include "common/control/rollout.h"
#include "common/control/scale_policy.h"
#include "common/control/start_report.h"
#include "common/control/worker_pool.h"

namespace saola::control {

// What the supervisor does for Supervision: it alone opens files and knows the service manager.
class SupervisionHost {
 public:
  virtual ~SupervisionHost() = default;
  // Reads the configuration anew; an error has everything that is wrong, several lines.
  virtual Result<std::shared_ptr<Generation>> next_generation(std::uint32_t number,
                                                              const Generation& now) = 0;
  // The supervisor's own log and level follow.
  virtual void committed(const Generation& now) = 0;
  // Opens the files of `now` anew under the same numbers.
  virtual Result<void> reopen_logs(const Generation& now) = 0;
  // For a service manager. serving() comes after the start and after each reload.
  virtual void serving(const std::string& what) = 0;
  virtual void reloading() = 0;
  virtual void stopping(Clock::duration at_most) = 0;
  // Asks the binary that is installed now whether it can take over (BinaryCheck).
  virtual void check_binary(UpgradeState state,
                            std::function<void(Result<UniqueFd> binary)> done) = 0;
  // Executes it in this process; returns only if that fails.
  virtual Error become(const UniqueFd& binary, UpgradeState state) = 0;
  // Signals wait, over become() too, until they are not held any more.
  virtual void hold_signals(bool hold) = 0;
  // The image before this one will not come back.
  virtual void taken_over() = 0;
};

class Supervision final : public ControlCommands,
                          private EdgeKeeper::Observer,
                          private AdminKeeper::Observer,
                          private WorkerPool::Observer {
 public:
  // What workers get to end properly (lifespan shutdown) when the edge has used up the graceful
  // time-out.
  static constexpr std::chrono::seconds kLastGrace{2};
  // The second signal: time to write the last log lines.
  static constexpr std::chrono::milliseconds kAtOnceGrace{300};
  static constexpr std::chrono::seconds kFailedStartGrace{1};
  // For workers to write their stacks.
  static constexpr std::chrono::seconds kStackTimeout{10};
  // Gauges of apps in the store of metrics are at most so old.
  static constexpr std::chrono::seconds kPublish{1};
  // For the edge to answer EdgePrepare.
  static constexpr std::chrono::seconds kPrepareTimeout{30};

  // References outlive it.
  Supervision(EventLoop& loop, Launcher& launcher, const Logger& log, const StartReport& report,
              SharedMemory& memory, std::shared_ptr<Generation> first, SupervisionHost& host);
  ~Supervision() override;

  // Starts the edge; what follows happens in the loop.
  void start();
  // Before start(): processes of another image serve until this one is ready, then drain. If this
  // one cannot get ready, run() returns with start_problem(), and they serve on.
  void take_over(const UpgradeState& state);
  // Instead of start(): goes on with the edge and the workers that are there.
  void resume(const UpgradeState& state);
  // Not empty: the takeover failed.
  const std::string& start_problem() const { return start_problem_; }

  // Runs the loop until every child has ended after begin_stop() or a failed start. Returns the
  // exit code.
  int run();

  // Begins a graceful stop; called again, ends everything at once. `why` for the log: "SIGTERM".
  void begin_stop(const std::string& why);

  Status status() const override;
  void reload(bool rolling, Done done) override;
  Result<std::string> scale(const std::string& app, int workers) override;
  void stop(bool at_once) override;
  Result<std::string> drain() override;
  Result<std::string> reopen_logs() override;
  void dump_stacks(std::optional<std::uint32_t> worker_id, Done done) override;
  void recycle(std::uint32_t worker_id, Done done) override;
  void upgrade(Done done) override;
  void inspect(Report done) override;
  // TTIN and TTOU: so many workers more, of every app.
  void scale_by(int more);
  // WINCH in the background: every worker finishes and ends, and requests wait; scale_by() and
  // reload() bring workers back.
  void rest();

 private:
  enum class Phase : std::uint8_t { kStarting, kServing, kWaiting, kDraining, kLeaving, kStopping };
  struct StackDump {
    std::set<std::uint32_t> missing;  // workers that have not answered
    std::size_t asked = 0;
    Done done;
  };
  struct Reload {
    std::shared_ptr<Generation> next;
    std::unique_ptr<WorkerPool> pool;  // null: the edge is preparing
    std::set<std::uint32_t> probes;    // workers whose ready_path has not answered
    Clock::time_point started_at;
    std::vector<Done> done;
    bool rolling = false;
    bool tried = false;  // rolling: the first workers are ready, and ready_path is asked
  };
  // From the commit of a rolling reload until its last worker is ready.
  struct Roll {
    std::map<std::string, int> before;  // by app: seats of the generations that are replaced
    std::map<std::string, int> most;    // ready workers of the new one, at the best moment
    Clock::time_point started_at;
    std::vector<Done> done;
  };
  // Who asks for a reload, and which kind.
  struct Wish {
    bool rolling;
    Done done;
  };

  void edge_ready() override;
  void edge_lost() override;
  void edge_failed(const std::string& reason, bool its_words) override;
  void edge_drained() override;
  void edge_gone() override;
  void worker_wire_lost(std::uint32_t worker_id, const std::string& reason) override;
  void worker_idle(std::uint32_t worker_id) override;
  void worker_overdue(std::uint32_t worker_id, const std::string& reason) override;
  void worker_probed(std::uint32_t worker_id, std::uint32_t status) override;
  void edge_prepared(std::uint32_t generation, const Result<void>& outcome) override;
  void edge_reported(const ipc::EdgeReport& report) override;

  void status_asked(std::uint32_t ask) override;
  void admin_gone() override;

  void worker_ready(const ipc::WorkerAdd& worker, int wire, int claims) override;
  void worker_leaves(std::uint32_t worker_id) override;
  void worker_gone(std::uint32_t worker_id) override;
  void worker_stacks_dumped(std::uint32_t worker_id) override;
  void all_ready(WorkerPool& pool) override;
  void app_failed(WorkerPool& pool, const std::string& app, const std::string& reason) override;
  void pool_empty(WorkerPool& pool) override;
  bool may_start(const WorkerPool& pool, const std::string& app) override;
  void staff_changed(WorkerPool& pool) override;

  const config::Server& server() const { return generation_->config.server; }
  std::vector<WorkerPool*> pools() const;
  void give_report(const Result<ipc::EdgeReport>& report);
  void fail_start(int exit_code, const std::string& problem);
  void drain_now();
  void stop_at_once(Clock::duration grace);
  void drain_workers();
  void finish_if_done();
  bool is_ready() const { return ready_ && pool_->has_seats(); }
  void set_ready(bool ready);
  void publish();
  static void on_publish(void* self);
  static void on_timer(void* self);
  static void on_stack_timer(void* self);

  // supervision_upgrade.cc
  std::string give_way(Result<UniqueFd> binary);
  static void on_give_way(void* self);
  UpgradeState left_behind() const;
  void watch_predecessors(const std::vector<UpgradeState::Process>& processes);
  void end_takeover(Clock::duration grace);
  static void on_predecessors_gone(void* self);

  // supervision_reload.cc
  void probe_or_commit();
  void commit();
  void begin_reload(bool rolling, std::vector<Done> done);
  void fail_reload(const std::string& reason);
  // The one under way, and those that were to follow.
  void refuse_reloads();
  void end_reload(const Result<std::string>& outcome);
  void tell_outcome(const std::vector<Done>& done, const Result<std::string>& outcome);
  bool reloads() const { return reload_ != nullptr || roll_ != nullptr; }
  static void on_reload_timer(void* self);

  // supervision_rolling.cc
  std::string why_not_rolling() const;
  void try_first_workers();
  std::vector<WorkerPool*> yielding_pools() const;
  RolloutView view_of(const WorkerPool& fresh, const std::string& app) const;
  void begin_roll(WorkerPool& old, Clock::duration grace);
  void step_roll();
  void finish_roll();
  void overtake_roll(Clock::time_point deadline);
  void break_off_roll(const std::string& why);

  // supervision_scaling.cc
  void follow_the_load();
  void look_at_the_load(const ipc::EdgeReport& report);
  static void on_scale_timer(void* self);

  static void on_next_reload(void* self);

  EventLoop& loop_;
  const Logger& log_;
  const StartReport& report_;
  SupervisionHost& host_;
  const Clock::time_point started_at_;
  std::shared_ptr<Generation> generation_;
  WorkerNumbers numbers_;
  OomWatch oom_;
  std::map<std::string, AppCounters> counters_;
  ControlMetrics metrics_;
  EdgeKeeper edge_;
  AdminKeeper admin_;
  WorkerGround ground_;
  std::unique_ptr<WorkerPool> pool_;
  std::vector<std::unique_ptr<WorkerPool>> old_pools_;  // of earlier generations and failed reloads
  std::map<std::string, ScalePolicy>
      scaling_;  // of the apps whose number of workers is no fixed one
  Timer scale_timer_;
  std::unique_ptr<Reload> reload_;
  std::unique_ptr<Roll> roll_;
  std::vector<StackDump> stack_dumps_;
  Timer stack_timer_;
  std::vector<Report> inspecting_;  // who waits for the edge's report
  std::vector<Wish> next_reload_;   // asked for during another, or the start: one more follows
  std::optional<std::pair<Clock::time_point, Result<std::string>>> last_reload_;
  std::uint32_t last_generation_;
  std::unique_ptr<Predecessors> predecessors_;  // of another image
  std::string start_problem_;
  Timer timer_;         // drain_delay
  Timer reload_timer_;  // of the step that a reload is at
  Timer next_reload_timer_;
  Timer gone_timer_;  // the predecessors are
  Phase phase_ = Phase::kStarting;
  Clock::time_point graceful_deadline_{};
  int exit_code_ = 0;
  bool ready_ = false;
  bool drained_ = false;  // by drain()
  bool shown_ = false;
  bool taking_over_ = false;  // this image is not ready, and the one before may come back
  bool upgrading_ = false;    // the new binary is being asked, or about to take over
  // What is to be executed once the signals that have come already are handled.
  struct Successor {
    Result<UniqueFd> binary;
    Done done;
    int turns_left = 2;
  };
  std::optional<Successor> successor_;
  Timer give_way_timer_;
  Timer publish_timer_;
  bool edge_gone_ = false;
  bool done_ = false;
};

}  // namespace saola::control
