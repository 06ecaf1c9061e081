// ZygoteKeeper: keeps the zygote of one app and generation running (`app.preload`): the process
// that imports the app once, and from which the workers are forked. The workers are the
// supervisor's children, not the zygote's: its death costs them nothing, and a new one takes its
// place, after the wait that RestartPolicy says.
//
//   start()    boots    ready: fork()    stop()    gone
#pragma once

#include <memory>
#include <string>

#include "common/control/child.h"
#include "common/control/generation.h"
#include "common/control/restart_policy.h"
#include "common/control/shared_memory.h"

namespace saola::control {

class ZygoteKeeper final : private Child::Owner {
 public:
  class Observer {
   public:
    virtual ~Observer() = default;
    // It can fork; again after each restart.
    virtual void zygote_ready(const std::string& app) = 0;
    // It did not become ready; another attempt follows. `application`: the app cannot be imported,
    // and `reason` says why (a traceback, above all). `attempts` in a row have failed.
    virtual void zygote_failed(const std::string& app, const std::string& reason, bool application,
                               int attempts) = 0;
    // After stop(): no process is left.
    virtual void zygote_gone() = 0;
  };

  // References outlive it; `app` names an entry of generation.config.apps.
  ZygoteKeeper(EventLoop& loop, Launcher& launcher, const Logger& log, SharedMemory& memory,
               std::shared_ptr<const Generation> generation, std::string app, Observer& observer);

  // Starts it if none runs and no attempt is planned.
  void start();
  bool ready() const;
  // One worker; see ipc::ZygoteFork. `control` stays the caller's. Only while ready().
  void fork(const std::string& title, int control);
  // It did not fork when it should have: a new one takes its place.
  void replace(const std::string& why);
  // Ends it; then zygote_gone(), in a later turn of the loop. Nothing happens if none runs.
  void stop(Clock::duration grace = WorkerLifecycle::kStopGrace);
  bool running() const { return child_ != nullptr; }
  // The error log was opened anew.
  void reopen_logs();

 private:
  void child_said(Child& child, ipc::ControlMessage& message) override;
  void child_exited(Child& child, int wait_status) override;
  void cannot_start(const std::string& why);
  void try_again(Death death, Clock::duration served, const std::string& what);
  static void on_restart(void* self);

  EventLoop& loop_;
  Launcher& launcher_;
  const Logger& log_;
  SharedMemory& memory_;
  const std::shared_ptr<const Generation> generation_;
  const std::string app_;
  const config::App& settings_;
  Observer& observer_;
  std::unique_ptr<Child> child_;
  RestartPolicy policy_;
  Timer restart_;
  bool told_ = false;  // this child said itself why it cannot start
  bool leaving_ = false;
};

}  // namespace saola::control
