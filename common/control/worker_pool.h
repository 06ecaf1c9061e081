// WorkerPool: keeps the wanted number of workers of every app of one generation running.
//
// An app has seats, as many as it wants workers. A seat's process that dies is replaced, after the
// wait that the seat's RestartPolicy says. One that is to be replaced while it lives (recycling, a
// hang) keeps its seat until its successor is ready: no gap. A process has an id of its own, never
// used again; it names the process in titles, logs and towards the edge. The edge learns of a
// worker when it is ready, together with the edge's end of the socket pair, is told before it
// leaves, and before anybody else when it has gone. With app.preload the workers are forked from a
// zygote; seats wait for it.
//
//   standing by   the next generation: its workers boot beside those that serve, boot_concurrency
//   at
//                 a time, and the first that fails ends the attempt
//   serving       what dies is replaced
//   yielding      serving, until the next generation has taken its seats one by one (rollout.h)
//   leaving       nothing is started any more; what runs finishes
#pragma once

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/control/control_commands.h"
#include "common/control/restart_policy.h"
#include "common/control/upgrade_state.h"
#include "common/control/worker_process.h"

namespace saola::control {

// Of one app, over all generations.
struct AppCounters {
  std::uint64_t crashes = 0;
  std::uint64_t oom_kills = 0;
  std::array<std::uint64_t, kLeaveReasons> left{};  // by LeaveReason
};

class WorkerPool final : public Deletable, private Child::Owner, private ZygoteKeeper::Observer {
 public:
  class Observer {
   public:
    virtual ~Observer() = default;
    // For the edge. `wire` and `claims` are the pool's and closed after the call.
    virtual void worker_ready(const ipc::WorkerAdd& worker, int wire, int claims) = 0;
    virtual void worker_leaves(std::uint32_t worker_id) = 0;
    virtual void worker_gone(std::uint32_t worker_id) = 0;
    // The answer to dump_stacks(), or it never will: it has gone.
    virtual void worker_stacks_dumped(std::uint32_t worker_id) = 0;
    // Every seat of every app is ready; again after each time that this was not so.
    virtual void all_ready(WorkerPool& pool) = 0;
    // Standing by: any worker failed. Else: an app that has never been ready cannot be loaded (a
    // traceback or one line), or its workers keep dying before they are ready; the pool goes on
    // trying until it is told to stop.
    virtual void app_failed(WorkerPool& pool, const std::string& app,
                            const std::string& reason) = 0;
    // Leaving, and no process is left.
    virtual void pool_empty(WorkerPool& pool) = 0;
    // Paced: whether a worker of the app may start now.
    virtual bool may_start(const WorkerPool& pool, const std::string& app) = 0;
    // A worker is ready, or has ended.
    virtual void staff_changed(WorkerPool& pool) = 0;
  };
  enum class Duty : std::uint8_t { kStandBy, kServe, kLeave };

  // Starts in a row that may fail before an app was ever ready without saying why.
  static constexpr int kFirstAttempts = 5;
  // How much longer than its last request a worker may run: background work, lifespan shutdown.
  static constexpr std::chrono::seconds kLastGrace{2};

  WorkerPool(const WorkerGround& ground, std::shared_ptr<const Generation> generation, Duty duty,
             std::map<std::string, AppCounters>& counters, Observer& observer);
  ~WorkerPool() override;

  const Generation& generation() const { return *generation_; }

  // Starts what is not running. Serving: call when the edge is ready.
  void start();
  // Serving, before start(): workers that an earlier image of this process left. Returns the ids of
  // those that have gone since.
  std::vector<std::uint32_t> adopt(const UpgradeState& state);
  // What the next image is to know of the workers.
  void leave_to(UpgradeState& state) const;
  // The edge has been told to dispatch to these workers.
  void serve();
  // The edge has died, and a new one is there: every worker is joined to it.
  void edge_lost();
  void edge_ready();

  // What the edge says of a worker; false if it is not one of this pool's.
  bool wire_lost(std::uint32_t worker_id, const std::string& reason);
  bool worker_idle(std::uint32_t worker_id);
  bool worker_overdue(std::uint32_t worker_id, const std::string& reason);

  // Nothing is started any more. Each reports pool_empty() once nothing runs, at once if so
  // already. leave(): the edge knows, and says of each when it is idle.
  void leave(Clock::time_point deadline);
  void drain_all(Clock::time_point deadline);
  void stop_all(Clock::duration grace);

  // The error log was opened anew (generation.logs.error).
  void reopen_logs();

  Result<std::string> scale(const std::string& app, int workers);
  Result<std::string> recycle(std::uint32_t worker_id);
  // Who was asked; all if none is named.
  std::vector<std::uint32_t> dump_stacks(std::optional<std::uint32_t> worker_id,
                                         const std::string& why);

  // A rolling reload (worker_pool_rolling.cc).
  //
  // Paced: no worker starts unless the observer says so; what waits is started by look_again().
  void set_paced(bool paced) { paced_ = paced; }
  void look_again();
  // Serving: gives up seats from now on, recycles nobody, and forgets the seats that it has not
  // filled if it was paced. Apps that `next` does not have leave until `deadline`; the edge knows.
  void yield(const config::Config& next, Clock::time_point deadline);
  bool yielding() const { return yielding_; }
  // So many workers of the app leave: those first that serve nobody.
  void give_up(const std::string& app, int seats, LeaveReason reason);
  // Only what serves already is kept running; at least one seat stays.
  void forget_empty_seats();
  struct Staff {
    int seats = 0;
    int processes = 0;  // with those that leave
    int absent = 0;     // seats whose process is about to be started
    int booting = 0;
    int ready = 0;
  };
  Staff staff(const std::string& app) const;
  bool has_seats() const;
  // "wsgi", "asgi", or empty: none was ready yet, or there is no such app.
  std::string interface_of(const std::string& app) const;

  // No process is left.
  bool empty() const;
  // "app: 3 workers (asgi), admin: 1 worker (wsgi)", for the log.
  std::string describe() const;
  void add_status(Status& status) const;
  // Ids of workers that are ready, by app.
  std::vector<std::uint32_t> ready_workers(const std::string& app) const;
  int wanted(const std::string& app) const;
  // Requests that one of its workers runs at once; 1 as long as none is ready.
  std::uint64_t slots(const std::string& app) const;

 private:
  struct App;
  struct Seat;

  void start(Seat& seat);
  void start_waiting(App& app);
  bool may_boot(const App& app) const;
  bool may_boot_paced(const App& app) const;
  Result<void> launch(Seat& seat);
  void restart_later(Seat& seat, Clock::duration wait);
  static void on_seat_timer(void* seat);
  void child_said(Child& child, ipc::ControlMessage& message) override;
  void child_born(Child& child) override;
  void child_exited(Child& child, int wait_status) override;
  void on_ready(WorkerProcess& worker, const ipc::Ready& ready);
  void on_boot_failed(WorkerProcess& worker, const ipc::BootFailed& failed);
  void tell_boot_failure(App& app, const std::string& who, const std::string& reason);
  void on_death(WorkerProcess& worker, int wait_status);
  void join_edge(WorkerProcess& worker);
  void take_seat(Seat& seat, WorkerProcess& worker);
  void count_first_failure(Seat& seat, const std::string& how);
  std::string last_words(WorkerProcess& worker, int wait_status);
  std::string exit_reason(const WorkerProcess& worker, int wait_status) const;
  void report_if_all_ready();
  void report_if_empty();
  void start_nothing_more(Clock::duration zygote_grace = WorkerLifecycle::kStopGrace);

  void let_go(WorkerProcess& worker, Clock::time_point deadline);

  // Zygotes (worker_pool_zygotes.cc).
  bool await_zygote(App& app);
  void zygote_ready(const std::string& app) override;
  void zygote_failed(const std::string& app, const std::string& reason, bool application,
                     int attempts) override;
  void zygote_gone() override;

  // Looking after workers that live (worker_pool_care.cc).
  void retire(WorkerProcess& worker, LeaveReason reason);
  bool is_hung(const WorkerProcess& worker) const;
  int being_recycled(const App& app) const;
  void recycle(Seat& seat, LeaveReason reason);
  void watch_over(Seat& seat, bool sample_memory, bool judge_silence);
  void remove_seat(App& app, LeaveReason reason);
  void close_seat(App& app, std::size_t index, LeaveReason reason);
  App* find_app(const std::string& name) const;
  void ask_for_stacks(WorkerProcess& worker, const std::string& why);
  static void on_tick(void* pool);
  Clock::duration tick() const;

  App& app_of(const WorkerProcess& worker) const;
  Seat* seat_of(const WorkerProcess& worker) const;
  WorkerProcess& worker_of(const Child& child) const;
  WorkerProcess* find(std::uint32_t worker_id) const;

  const WorkerGround& ground_;
  EventLoop& loop_;
  const Logger& log_;
  const std::shared_ptr<const Generation> generation_;
  std::map<std::string, AppCounters>& counters_;
  Observer& observer_;
  Duty duty_;
  std::vector<std::unique_ptr<App>> apps_;
  std::vector<std::unique_ptr<WorkerProcess>> workers_;  // with those that are leaving
  Timer tick_timer_;
  Clock::time_point last_tick_{};
  Clock::time_point memory_sampled_{};
  bool edge_present_ = false;
  bool complete_ = false;
  bool paced_ = false;
  bool yielding_ = false;
};

}  // namespace saola::control
