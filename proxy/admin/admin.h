// Admin: everything of the admin process: the stores that it reads, the HTTP that shows them, and
// the supervisor's words. One thread; no state that matters: it may be replaced at any moment.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/config/config.h"
#include "common/core/log.h"
#include "common/core/log_fan.h"
#include "common/event/io_watcher.h"
#include "common/ipc/control_channel.h"
#include "common/ipc/control_message.h"
#include "common/metrics/process_metrics.h"
#include "proxy/admin/admin_server.h"
#include "proxy/admin/worker_board.h"

namespace saola::proxy {

// What an app counts.
struct AppStore {
  UniqueFd file;  // of the store
  metrics::MetricStore store;
};

// What AdminInit brought.
struct AdminSetup {
  config::Config config;
  std::string token;
  std::unique_ptr<TlsContext> tls;  // null: plain
  UniqueFd error_log;
  ipc::Scoreboard scoreboard;
  metrics::MetricStore metrics;
  std::vector<UniqueFd> sockets;
  std::map<std::string, AppStore> apps;
};
Result<AdminSetup> make_admin_setup(const ipc::AdminInit& init, std::vector<UniqueFd> fds);

class Admin final : private AdminServer::Source {
 public:
  // `setup` without its error log, which `error_log` writes.
  Admin(EventLoop& loop, ipc::ControlChannel& control, LogFan& error_log, AdminSetup setup);
  ~Admin() override;

  // Accepts and tells the supervisor Ready, or why it cannot.
  void start(std::vector<UniqueFd> sockets);
  // Returns the exit code.
  int run();

 private:
  std::string metrics() override;
  AdminServer::Readiness readiness(std::string_view app) override;
  void ask_status(std::uint32_t ask) override;

  void on_control();
  void handle(const ipc::ControlMessage& message, std::vector<UniqueFd> fds);
  void tell_supervisor(const ipc::ControlMessage& message);
  double gauge(std::string_view name) const;
  std::vector<prometheus::MetricFamily> of_apps(std::uint64_t& dropped) const;

  EventLoop& loop_;
  ipc::ControlChannel& control_;
  LogFan& error_log_;
  Logger log_;
  metrics::MetricStore store_;
  std::map<std::string, AppStore> app_stores_;
  const std::string bounds_;  // TimeBounds::text() of the latencies
  WorkerBoard board_;
  metrics::ProcessMetrics process_;
  AdminServer server_;
  IoWatcher control_watcher_;
  Timer leave_timer_;
  int exit_code_ = 0;
};

}  // namespace saola::proxy
