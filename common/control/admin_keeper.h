// AdminKeeper: keeps one admin process running, which serves metrics, health and status on an
// address of its own. It has no state: another configuration gets another process, and the one
// before ends when that is ready. Nothing that goes wrong here touches the service.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "common/control/child.h"
#include "common/control/generation.h"
#include "common/control/restart_policy.h"
#include "common/control/shared_memory.h"
#include "common/control/upgrade_state.h"

namespace saola::control {

class AdminKeeper final : private Child::Owner {
 public:
  class Observer {
   public:
    virtual ~Observer() = default;
    // It wants to show the status: give_status() answers, now or later.
    virtual void status_asked(std::uint32_t ask) = 0;
    // After stop(): no process is left.
    virtual void admin_gone() = 0;
  };

  static constexpr std::chrono::seconds kBootTimeout{30};
  // For the scrapes that are being answered.
  static constexpr std::chrono::seconds kDrainTime{2};

  // References outlive it.
  AdminKeeper(EventLoop& loop, Launcher& launcher, const Logger& log, SharedMemory& memory,
              Observer& observer);
  ~AdminKeeper() override;

  // From now on what runs is `generation`; its process starts, or none if it has no address.
  void use(std::shared_ptr<const Generation> generation);
  // JSON. Nobody waits any more if the process has ended meanwhile.
  void give_status(std::uint32_t ask, const std::string& json);
  void reopen_logs();

  // Ends it; then admin_gone(), at once if none runs.
  void stop();
  bool running() const {
    return child_ != nullptr || before_ != nullptr || !leaving_children_.empty();
  }
  // What the next image is to know.
  void leave_to(UpgradeState& state) const;

 private:
  void start();
  void launch_failed(const std::string& reason);
  void retire(std::unique_ptr<Child> child);
  void child_said(Child& child, ipc::ControlMessage& message) override;
  void child_exited(Child& child, int wait_status) override;
  void try_again(Death death, Clock::duration served, const std::string& what);
  static void on_restart(void* self);

  EventLoop& loop_;
  Launcher& launcher_;
  const Logger& log_;
  SharedMemory& memory_;
  Observer& observer_;
  std::shared_ptr<const Generation> generation_;
  std::unique_ptr<Child> child_;   // of generation_
  std::unique_ptr<Child> before_;  // of the one before, until child_ is ready
  std::vector<std::unique_ptr<Child>> leaving_children_;
  RestartPolicy policy_;
  Timer restart_;
  bool stopping_ = false;
};

}  // namespace saola::control
