// EdgeKeeper: keeps one edge running on the sockets that the supervisor holds.
#pragma once

#include <memory>
#include <string>

#include "common/config/config.h"
#include "common/control/child.h"
#include "common/control/restart_policy.h"
#include "common/control/supervision_files.h"

namespace saola::control {

class EdgeKeeper final : private Child::Owner {
 public:
  class Observer {
   public:
    virtual ~Observer() = default;
    virtual void edge_ready() = 0;
    // Was ready and has died. A new one starts by itself unless drain() or stop() was called.
    virtual void edge_lost() = 0;
    // The first edge cannot start. `its_words`: it said why itself (certificates, above all).
    virtual void edge_failed(const std::string& reason, bool its_words) = 0;
    // After drain(): no request is left.
    virtual void edge_drained() = 0;
    // After drain() or stop(): no process is left.
    virtual void edge_gone() = 0;
    virtual void worker_wire_lost(std::uint32_t worker_id, const std::string& reason) = 0;
  };

  // Nothing in an edge's start takes long.
  static constexpr std::chrono::seconds kBootTimeout{30};
  static constexpr int kFirstAttempts = 5;

  EdgeKeeper(EventLoop& loop, Launcher& launcher, const Logger& log, const config::Config& config,
             const SupervisionFiles& files, Observer& observer);

  void start();
  // Messages about workers; dropped when there is no edge (it will be told of new ones).
  void add_worker(const ipc::WorkerAdd& worker, int wire, int claims);
  void remove_worker(std::uint32_t worker_id);
  void reopen_logs();

  // Stops accepting, finishes what it has; then edge_drained() or, if it ended instead,
  // edge_gone().
  void drain(Clock::duration timeout);
  // Ends it; then edge_gone(), at once if none runs.
  void stop(Clock::duration grace);

  bool present() const { return child_ != nullptr; }

 private:
  void child_said(Child& child, ipc::ControlMessage& message) override;
  void child_exited(Child& child, int wait_status) override;
  void launch_failed(const std::string& reason);
  void failed_before_ready(const std::string& reason);
  static void on_restart(void* self);

  EventLoop& loop_;
  Launcher& launcher_;
  const Logger& log_;
  const SupervisionFiles& files_;
  Observer& observer_;
  std::string title_ = "saola: edge";
  std::unique_ptr<Child> child_;
  RestartPolicy policy_;
  Timer restart_;
  bool ever_ready_ = false;
  bool leaving_ = false;
};

}  // namespace saola::control
