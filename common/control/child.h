// Child: one child process, its control channel and its lifecycle, kept together. Carries out what
// WorkerLifecycle answers: sends Drain and Stop, kills, keeps the deadline's timer.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "common/control/launcher.h"
#include "common/control/worker_lifecycle.h"
#include "common/core/log.h"
#include "common/event/event_loop.h"
#include "common/event/io_watcher.h"
#include "common/event/timer.h"
#include "common/ipc/control_channel.h"
#include "common/ipc/control_message.h"

namespace saola::control {

class Child final : public Deletable {
 public:
  // Told what happens. May not destroy the child in a call; give it to EventLoop::delete_later().
  class Owner {
   public:
    virtual ~Owner() = default;
    // Never for Ready after the child was told to go.
    virtual void child_said(Child& child, ipc::ControlMessage& message) = 0;
    // Of expect(): it has a pid now.
    virtual void child_born(Child&) {}
    // The last call. Everything that the child said before its end has been delivered.
    virtual void child_exited(Child& child, int wait_status) = 0;
  };

  // What a child says that breaks the protocol, or a channel that fails, costs it its life; a
  // crashing one may still be writing its core file when its channel closes.
  static constexpr std::chrono::seconds kBrokenGrace{5};
  static constexpr std::chrono::seconds kDrainSlack{1};
  static constexpr int kNeverBorn = 1 << 8;  // as a wait status: exit code 1

  // `name` for the log: "edge", "worker app 3". References outlive the child.
  Child(EventLoop& loop, Launcher& launcher, const Logger& log, Owner& owner, std::string name,
        Clock::duration boot_timeout);
  ~Child() override;

  // Once, before anything else. The child exists if it succeeds, and then its exit will be told.
  Result<void> launch(const std::string& title, const std::string& role,
                      bool leaves_children = false);
  // Instead of launch(): somebody else forks the process, and gives it the end of the channel that
  // is returned. The process says Born first; until then it has no pid. If the channel closes
  // before, or it must be killed, it was never there, and its exit is told with kNeverBorn.
  Result<UniqueFd> expect();

  // Instead of launch(): a process that an earlier image of this supervisor started; `control` is
  // our end of its channel. Fails if it has gone.
  //   kOurs      this binary started it: it is spoken with as if nothing had happened
  //   kForeign   another binary did: nothing that it says is taken from the channel before it is
  //              told to go (whoever started it may come back and read it), and what is not
  //              understood then is passed over
  enum class Origin : std::uint8_t { kOurs, kForeign };
  Result<void> adopt(pid_t pid, UniqueFd control, bool ready, Origin origin);

  void send(const ipc::ControlMessage& message, const std::vector<int>& fds = {});

  // The edge sends it nothing more; call drain() when it is idle. At `deadline` it is drained by
  // itself.
  void retire(Clock::time_point deadline);
  // The child is told to finish by `deadline`; what it says then may take kDrainSlack more to
  // arrive.
  // `idle`: see ipc::Drain; for an edge beside which another one serves.
  void drain(Clock::time_point deadline, std::chrono::milliseconds idle = {});
  void stop(Clock::duration grace = WorkerLifecycle::kStopGrace);
  // Something that it cannot live on with happened to it: see WorkerLifecycle::give_up().
  void give_up(const std::string& why, Clock::duration grace);
  // Nothing can be expected of it any more.
  void kill(const std::string& why);

  const WorkerLifecycle& lifecycle() const { return lifecycle_; }
  const std::string& name() const { return name_; }
  pid_t pid() const { return pid_; }  // -1: expected
  bool born() const { return pid_ > 0; }
  int control_fd() const { return channel_.fd(); }  // stays the child's
  Clock::time_point started_at() const { return started_at_; }

 private:
  static void on_channel(void* self, short what);
  static void on_timer(void* self);
  void open_channel(UniqueFd ours);
  void read_all();
  void on_born(const ipc::ControlMessage& message);
  void forget();
  void send_kill();
  void take(const ipc::ControlChannel::Received& received);
  void channel_failed(LogLevel level, const std::string& why);
  void carry_out(WorkerAction action);
  void arm();
  void watch();
  void exited(int wait_status);

  EventLoop& loop_;
  Launcher& launcher_;
  const Logger& log_;
  Owner& owner_;
  const std::string name_;
  const Clock::time_point started_at_;
  WorkerLifecycle lifecycle_;
  pid_t pid_ = -1;
  ipc::ControlChannel channel_;
  std::unique_ptr<IoWatcher> watcher_;
  Timer timer_;
  Clock::time_point drain_deadline_{};
  std::chrono::milliseconds drain_idle_{};
  bool channel_open_ = false;
  bool started_ = false;    // launched or expected
  bool forgotten_ = false;  // never born: the timer tells the exit
  bool foreign_ = false;
};

}  // namespace saola::control
