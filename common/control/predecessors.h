// Predecessors: the processes that an earlier image of this supervisor started. They serve while
// this image starts its own; then the edge drains and after it the workers, which have its requests
// to the end. Another binary may have started them: all that is said to them is Drain and Stop.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "common/control/child.h"
#include "common/control/upgrade_state.h"

namespace saola::control {

class Predecessors final : private Child::Owner {
 public:
  // Duplicates the control channels. A process that has gone meanwhile is left out. `on_gone` is
  // called, in a turn of the loop, when the last one has ended. References outlive it.
  Predecessors(EventLoop& loop, Launcher& launcher, const Logger& log,
               const std::vector<UpgradeState::Process>& processes, std::function<void()> on_gone);

  bool empty() const { return all_.empty(); }
  std::size_t count() const { return all_.size(); }

  // For connections that wait for their next request when the edge drains: a busy client's is on
  // the way.
  static constexpr std::chrono::milliseconds kIdleTime{2000};

  // Gracefully: what is not done within `grace` is ended. `idle`: see ipc::Drain.
  void leave(Clock::duration grace, std::chrono::milliseconds idle);
  void stop(Clock::duration grace);

 private:
  struct One {
    std::unique_ptr<Child> child;
    bool is_edge = false;
  };

  void child_said(Child& child, ipc::ControlMessage& message) override;
  void child_exited(Child& child, int wait_status) override;
  bool has_edge() const;
  void drain_workers();

  EventLoop& loop_;
  const Logger& log_;
  std::function<void()> on_gone_;
  std::vector<One> all_;
  Clock::time_point deadline_{};
  bool leaving_ = false;
};

}  // namespace saola::control
