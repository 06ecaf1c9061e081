// WorkerProcess: one worker process as the supervisor sees it: its place in the scoreboard, its
// wire, its Child, and why it leaves.
#pragma once

#include <memory>
#include <string>

#include "common/control/child.h"
#include "common/control/control_metrics.h"
#include "common/control/generation.h"
#include "common/control/oom_watch.h"
#include "common/control/recycle_policy.h"
#include "common/control/shared_memory.h"
#include "common/control/upgrade_state.h"
#include "common/control/worker_numbers.h"
#include "common/control/zygote_keeper.h"
#include "common/ipc/scoreboard.h"

namespace saola::control {

// What the workers of all generations share. References outlive every user.
struct WorkerGround {
  EventLoop& loop;
  Launcher& launcher;
  const Logger& log;
  SharedMemory& memory;
  WorkerNumbers& numbers;
  OomWatch& oom;
  ControlMetrics& metrics;
};

class WorkerProcess final : public Deletable {
 public:
  // Starts the process; `app` names an entry of generation.config.apps. `zygote`: is ready and
  // forks it, and then its pid is known when it is born; null: it is a new image.
  static Result<std::unique_ptr<WorkerProcess>> launch(const WorkerGround& ground,
                                                       const Generation& generation,
                                                       const std::string& app, Child::Owner& owner,
                                                       ZygoteKeeper* zygote);
  // One that runs, serves, and that the edge knows; an earlier image of this process started it.
  // Duplicates `control`.
  static Result<std::unique_ptr<WorkerProcess>> adopt(const WorkerGround& ground,
                                                      const Generation& generation,
                                                      const UpgradeState::Worker& left, int control,
                                                      Child::Owner& owner);
  ~WorkerProcess() override;

  std::uint32_t id() const { return id_; }
  Child& child() { return *child_; }
  const Child& child() const { return *child_; }
  WorkerState state() const { return child_->lifecycle().state(); }
  const ipc::WorkerSlot& record() const { return ground_.memory.scoreboard().slot(slot_); }
  bool is_asgi() const { return !facts_.whole_requests; }

  // It has a pid.
  void set_born() { facts_.pid = static_cast<std::uint32_t>(child_->pid()); }
  // It is ready, with `slots` requests at once.
  void set_ready(const ipc::Ready& ready, std::uint32_t slots);
  // What the edge is told of it; valid after set_ready().
  const ipc::WorkerAdd& facts() const { return facts_; }

  // The edge's ends, to be given to one edge and then dropped.
  struct EdgeEnds {
    UniqueFd wire;
    UniqueFd claims;
  };
  // The first edge's are made with the process; for a later edge the worker is given new ones too.
  Result<EdgeEnds> take_edge_ends();

  // Marks the scoreboard's record: the process has been reaped.
  void mark_exited();
  // How many requests it was running, as far as its record makes sense.
  std::uint64_t running() const;

  RecyclePolicy policy;
  Clock::time_point ready_at{};
  std::uint64_t memory_bytes = 0;  // as sampled last
  LeaveReason leaves = LeaveReason::kNone;
  Clock::time_point leave_deadline{};
  bool known_to_edge = false;
  bool killed_by_oom = false;

 private:
  WorkerProcess(const WorkerGround& ground, std::uint32_t slot) : ground_(ground), slot_(slot) {}
  Result<void> start(const std::string& title, ZygoteKeeper* zygote);
  Result<UniqueFd> make_wire();
  void clear_record(std::uint32_t generation, const std::string& app);

  const WorkerGround& ground_;
  const std::uint32_t slot_;
  std::uint32_t id_ = 0;
  std::size_t claim_slots_ = 0;
  ipc::WorkerAdd facts_;
  EdgeEnds ends_;
  std::unique_ptr<Child> child_;
};

}  // namespace saola::control
