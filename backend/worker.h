// Worker: the life of a worker process. Receives its orders, brings up Python and the application,
// serves, drains, exits.
//
//   main thread      Python and the host (wsgi/, asgi/)
//   helper thread    heartbeat, control channel, stop signals (channel_helper.h); never in Python
//   log threads      LineWriter, one for each destination
//
// If the edge dies the application runs on and waits for the next one, which the supervisor brings
// (WorkerRewire). How long to wait is the supervisor's to decide.
//
// Exit codes: 0 drained, stopped, or the supervisor has gone; 1 it could not be set up; 3 the
// application could not be loaded or its startup failed.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "backend/app_host.h"
#include "backend/preloaded_app.h"
#include "backend/request_channel.h"
#include "common/config/config.h"
#include "common/core/log.h"
#include "common/core/log_fan.h"
#include "common/core/result.h"
#include "common/core/unique_fd.h"
#include "common/ipc/control_channel.h"
#include "common/ipc/control_message.h"
#include "common/ipc/scoreboard.h"

namespace saola::backend {

class Worker {
 public:
  // `preloaded`: this process was forked from a zygote, which has imported the application. Null:
  // it does that itself.
  explicit Worker(ipc::ControlChannel control, std::unique_ptr<PreloadedApp> preloaded = nullptr)
      : control_(std::move(control)), preloaded_(std::move(preloaded)) {}
  int run();

 private:
  Result<void> set_up();
  Result<ipc::ControlChannel::Received> wait_for_init();
  Result<void> take_init(ipc::ControlChannel::Received received);
  void install_signal_handlers();

  int run_python();
  int run_app(AppLog& app_log);
  Result<std::unique_ptr<Hooks>> boot_hooks(AppLog& app_log);
  Result<std::unique_ptr<AppHost>> boot_app(AppLog& app_log, Hooks* hooks);
  int serve(AppHost& host);
  void forget_hooks();
  int boot_failed(std::string reason, bool application);
  void tell_supervisor(const ipc::ControlMessage& message);
  void enter(ipc::WorkerPhase phase);

  // In the helper's thread.
  bool on_control();
  bool on_stop_signal();
  void begin_drain(std::chrono::milliseconds left);
  void rewire(std::vector<UniqueFd> fds);
  [[noreturn]] void give_up();
  void dump_stacks(const ipc::DumpStacks& order);
  void look_for_slow_requests();
  void report_timeout(const RunningRequest& request);
  [[noreturn]] void exit_now();

  ipc::ControlChannel control_;
  std::unique_ptr<PreloadedApp> preloaded_;
  std::mutex sending_;    // control_.send(): both threads do
  UniqueFd stop_signal_;  // eventfd: SIGTERM and its like came
  std::optional<LogFan> writer_;
  std::optional<Logger> log_;
  ipc::WorkerInit init_;
  config::Config config_;
  const config::App* app_ = nullptr;
  std::optional<ipc::Scoreboard> scoreboard_;
  ipc::WorkerSlot* slot_ = nullptr;
  std::unique_ptr<RequestChannel> channel_;
  UniqueFd metrics_file_;  // the app's MetricStore, until Python runs
  std::atomic<bool> serving_{false};
  std::chrono::steady_clock::time_point
      stacks_again_{};  // report_timeout()'s, by the channel's lock
  std::mutex hooks_mutex_;
  Hooks* hooks_ = nullptr;  // run_python()'s, while the helper may use it
};

}  // namespace saola::backend
