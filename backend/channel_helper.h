// ChannelHelper: the native thread beside the one that runs the application. It is never attached
// to Python, so it runs while Python runs, or hangs.
//
// It keeps the heartbeat, watches descriptors of the worker (control channel, stop signals), and
// looks after the RequestChannel when the app thread does not: answers are flushed, frames received
// and PING answered within about a millisecond of the app thread falling silent.
//
//   asleep    poll on the socket, the channel's bell and the watches; heartbeat every 250 ms
//   ticking   every millisecond, after any of these became ready: has the app thread come round
//   since?
//             Yes: tick on. No: assist(); after a few quiet ticks fall asleep again.
//
// So a busy worker costs a thousand short wake-ups a second, an idle one four, and the app thread
// pays for the helper only when it leaves answers unflushed while the helper sleeps.
#pragma once

#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "backend/request_channel.h"
#include "common/core/unique_fd.h"
#include "common/ipc/scoreboard.h"

namespace saola::backend {

// Something to be done about every `period`, in the helper's thread; 0: nothing.
struct HelperChore {
  std::chrono::milliseconds period{0};
  std::function<void()> run = {};
};

class ChannelHelper {
 public:
  struct Watch {
    int fd = -1;                        // not owned
    std::function<bool()> on_readable;  // in the helper's thread; false: watch it no longer
  };

  // `channel` and `slot` (may be null) outlive this.
  ChannelHelper(RequestChannel& channel, ipc::WorkerSlot* slot, std::vector<Watch> watches,
                HelperChore chore = {});
  ~ChannelHelper();  // ends the thread and waits for it
  ChannelHelper(const ChannelHelper&) = delete;
  ChannelHelper& operator=(const ChannelHelper&) = delete;

  static constexpr std::chrono::milliseconds kTick{1};
  static constexpr std::chrono::milliseconds kHeartbeat{250};

 private:
  void run();
  bool sleep_until_ready();
  void tick();
  bool wait(int timeout_ms, short socket_events, bool& channel_ready);
  void beat();

  RequestChannel& channel_;
  ipc::WorkerSlot* slot_;
  std::vector<Watch> watches_;
  const HelperChore chore_;
  std::chrono::steady_clock::time_point chore_due_{};
  UniqueFd stop_fd_;
  bool stopping_ = false;  // the thread's own
  std::thread thread_;
};

}  // namespace saola::backend
