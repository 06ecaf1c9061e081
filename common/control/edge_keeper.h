// EdgeKeeper: keeps one edge running on the sockets that the supervisor holds, and takes a new
// configuration to it in two phases. An edge whose heartbeat stops (server.edge_hang_timeout) is
// killed and replaced.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "common/control/child.h"
#include "common/control/generation.h"
#include "common/control/restart_policy.h"
#include "common/control/shared_memory.h"
#include "common/control/upgrade_state.h"
#include "common/ipc/scoreboard.h"

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
    // A worker that leaves has nothing left; a request of a worker ignores its time-out.
    virtual void worker_idle(std::uint32_t worker_id) = 0;
    virtual void worker_overdue(std::uint32_t worker_id, const std::string& reason) = 0;
    // The answer to probe(); `status` 0: none.
    virtual void worker_probed(std::uint32_t worker_id, std::uint32_t status) = 0;
    // The answer to inspect().
    virtual void edge_reported(const ipc::EdgeReport& report) = 0;
    // The answer to prepare().
    virtual void edge_prepared(std::uint32_t generation, const Result<void>& outcome) = 0;
  };

  // Nothing in an edge's start takes long.
  static constexpr std::chrono::seconds kBootTimeout{30};
  static constexpr int kFirstAttempts = 5;

  // References outlive the keeper.
  EdgeKeeper(EventLoop& loop, Launcher& launcher, const Logger& log, SharedMemory& memory,
             std::shared_ptr<const Generation> generation, Observer& observer);

  void start();
  // Instead of start(): the edge that an earlier image of this process left; false: it has gone.
  bool adopt(const UpgradeState::Process& left);
  // What the next image is to know of it.
  std::optional<UpgradeState::Process> process() const;
  // Messages about workers; dropped when there is no edge (it will be told of new ones).
  void add_worker(const ipc::WorkerAdd& worker, int wire, int claims);
  void drain_worker(std::uint32_t worker_id);
  void remove_worker(std::uint32_t worker_id);
  void probe(std::uint32_t worker_id, const std::string& host, const std::string& path);
  // edge_reported() follows, or edge_lost().
  void inspect();
  void reopen_logs();

  // A configuration beside the one in use; edge_prepared() follows, or edge_lost().
  void prepare(const Generation& next);
  // From now on `next` is what the edge, and every edge that replaces it, runs with.
  // `rolling`: see ipc::EdgeCommit.
  void commit(std::shared_ptr<const Generation> next, bool rolling);
  void abandon(const Generation& next);

  // This edge, and every one that replaces it, lets clients go (ipc::ReleaseClients).
  void release_clients();

  // Stops accepting, finishes what it has; then edge_drained() or, if it ended instead,
  // edge_gone().
  void drain(Clock::duration timeout);
  // Ends it; then edge_gone(), at once if none runs.
  void stop(Clock::duration grace);

  pid_t pid() const { return child_ != nullptr ? child_->pid() : 0; }
  std::uint64_t restarts() const { return restarts_; }

 private:
  void child_said(Child& child, ipc::ControlMessage& message) override;
  void child_exited(Child& child, int wait_status) override;
  void launch_failed(const std::string& reason);
  void failed_before_ready(const std::string& reason);
  static void on_restart(void* self);
  static void on_watch(void* self);
  void watch();
  void judge();
  std::string title() const;

  EventLoop& loop_;
  Launcher& launcher_;
  const Logger& log_;
  SharedMemory& memory_;
  std::shared_ptr<const Generation> generation_;
  Observer& observer_;
  std::unique_ptr<Child> child_;
  RestartPolicy policy_;
  Timer restart_;
  Timer watch_;
  Clock::time_point last_watch_{};
  bool ever_ready_ = false;
  bool leaving_ = false;
  bool releasing_ = false;
  std::uint64_t restarts_ = 0;
};

}  // namespace saola::control
