// WorkerPool: keeps the configured number of workers of every app running.
//
// An app has seats, as many as it has workers. A seat's process that dies is replaced, after the
// wait that the seat's RestartPolicy says. A process has an id of its own, never used again; it
// names the process in titles, logs and towards the edge. The edge learns of a worker when it is
// ready, together with the edge's end of the socket pair, and is told before anybody else when it
// has gone.
#pragma once

#include <list>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/config/config.h"
#include "common/control/child.h"
#include "common/control/restart_policy.h"
#include "common/control/supervision_files.h"
#include "common/ipc/scoreboard.h"

namespace saola::control {

class WorkerPool final : private Child::Owner {
 public:
  class Observer {
   public:
    virtual ~Observer() = default;
    // For the edge. `wire` and `claims` are the pool's and closed after the call.
    virtual void worker_ready(const ipc::WorkerAdd& worker, int wire, int claims) = 0;
    virtual void worker_gone(std::uint32_t worker_id) = 0;
    // Every seat of every app is ready; again after each time that this was not so.
    virtual void all_ready() = 0;
    // An app that has never been ready cannot be loaded (a traceback or one line), or its workers
    // keep dying before they are ready. The pool goes on trying until it is told to stop.
    virtual void app_failed(const std::string& app, const std::string& reason) = 0;
    // No process is left, after stop_all() or drain_all().
    virtual void pool_empty() = 0;
  };

  // Starts in a row that may fail before an app was ever ready without saying why.
  static constexpr int kFirstAttempts = 5;

  // References outlive the pool; `scoreboard` is a map of files.scoreboard.
  WorkerPool(EventLoop& loop, Launcher& launcher, const Logger& log, const config::Config& config,
             const SupervisionFiles& files, ipc::Scoreboard& scoreboard, Observer& observer);
  ~WorkerPool() override;

  // Starts what is not running. Call when the edge is ready.
  void start();
  // The edge has died and its sockets with it: every worker finishes what it has by `deadline`.
  // Seats wait for start().
  void edge_lost(Clock::time_point deadline);
  // The wire connection of a worker broke, says the edge.
  void wire_lost(std::uint32_t worker_id, const std::string& reason);

  // Nothing is started any more. Each reports pool_empty() once nothing runs, at once if so
  // already.
  void drain_all(Clock::time_point deadline);
  void stop_all(Clock::duration grace);

  // The error log was opened anew (files.error_log).
  void reopen_logs();

  bool empty() const { return workers_.empty(); }
  // "app: 3 workers (asgi), admin: 1 worker (wsgi)", for the log.
  std::string describe() const;

 private:
  struct App;
  struct Seat;
  struct Worker;

  void start(Seat& seat);
  Result<void> launch(Seat& seat);
  void restart_later(Seat& seat, Clock::duration wait);
  static void on_seat_timer(void* seat);
  void child_said(Child& child, ipc::ControlMessage& message) override;
  void child_exited(Child& child, int wait_status) override;
  void on_ready(Worker& worker, const ipc::Ready& ready);
  void on_boot_failed(Worker& worker, const ipc::BootFailed& failed);
  void on_death(Worker& worker, int wait_status);
  void count_first_failure(Seat& seat, const std::string& how);
  std::string last_words(const Worker& worker, int wait_status);
  void report_if_empty();
  std::uint32_t free_slot() const;
  Worker& worker_of(const Child& child);

  EventLoop& loop_;
  Launcher& launcher_;
  const Logger& log_;
  const SupervisionFiles& files_;
  ipc::Scoreboard& scoreboard_;
  Observer& observer_;
  std::vector<std::unique_ptr<App>> apps_;
  std::vector<std::unique_ptr<Seat>> seats_;
  std::vector<std::unique_ptr<Worker>> workers_;  // with those that are leaving
  std::uint32_t last_id_ = 0;
  bool edge_present_ = false;
  bool stopping_ = false;
  bool complete_ = false;
};

}  // namespace saola::control
