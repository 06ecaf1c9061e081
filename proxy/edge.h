// Edge: everything of the edge process: listeners, connections, upstreams, and the supervisor's
// words.
//
// One thread (the FilePool's and the log writers' threads aside). Made from EdgeInit; runs until
// the supervisor says Drain and everything is answered, or until the supervisor is gone. A new
// configuration comes in two phases (edge_reload.cc): prepared beside the one in use, then put in
// its place in one step, between two turns of the loop.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/core/log_fan.h"
#include "common/event/timer.h"
#include "common/ipc/control_channel.h"
#include "common/ipc/control_message.h"
#include "proxy/client_connection.h"
#include "proxy/edge_setup.h"
#include "proxy/listener.h"
#include "proxy/readiness_probe.h"
#include "proxy/upstream.h"

namespace saola::proxy {

class Edge final : public ClientConnection::Owner {
 public:
  // `setup` without its error log, which `error_log` writes.
  Edge(EventLoop& loop, ipc::ControlChannel& control, LogFan& error_log,
       std::unique_ptr<EdgeSetup> setup);
  ~Edge() override;

  // Tells the supervisor Ready; accepting begins with the first workers.
  void start();

  // Returns the exit code.
  int run();

  void on_connection_closed(ClientConnection& connection) override;

 private:
  void end_of_turn();
  void flush_clients();
  void housekeeping();
  void sample_metrics();
  void beat();

  void on_control();
  void handle(const ipc::ControlMessage& message, std::vector<UniqueFd> fds);
  void add_worker(const ipc::WorkerAdd& worker, std::vector<UniqueFd> fds);
  ipc::EdgeReport report() const;
  void reopen_logs(const ipc::ReopenLogs& message, std::vector<UniqueFd> fds);
  void tell_supervisor(const ipc::ControlMessage& message);
  void begin_drain(const ipc::Drain& drain);
  void finish_drain_if_idle();

  // A configuration in two phases.
  void prepare(const ipc::EdgePrepare& message, std::vector<UniqueFd> fds);
  void commit(std::uint32_t generation, bool rolling);
  void put_in_place(std::unique_ptr<EdgeSetup> setup);
  void replace_access_log(EdgeSetup& setup);
  void replace_listeners(EdgeSetup& setup);
  Upstream& upstream(const std::string& app, const config::App& settings);
  const config::App* settings_of(const std::string& app) const;
  void probe(const ipc::WorkerProbe& message);

  bool accept(UniqueFd socket, const std::shared_ptr<Listener::Context>& context, Peer peer);
  void open_listeners();
  std::size_t connection_limit() const;
  void warn_of_expiry(const TlsContext& tls, std::string_view address);

  EventLoop& loop_;
  ipc::ControlChannel& control_;
  LogFan& error_log_;
  std::unique_ptr<LogFan> access_writer_;
  std::unique_ptr<EdgeServices> services_;
  std::map<std::string, std::unique_ptr<Upstream>, std::less<>> upstreams_;
  std::vector<std::unique_ptr<Listener>> listeners_;
  std::vector<std::unique_ptr<ClientConnection>> connections_;
  std::vector<std::unique_ptr<ReadinessProbe>> probes_;
  std::unique_ptr<EdgeSetup> prepared_;  // waits for its EdgeCommit
  std::optional<ipc::Scoreboard> scoreboard_;
  IoWatcher control_watcher_;
  Timer housekeeping_timer_;
  Timer drain_timer_;
  std::size_t max_connections_ = 0;
  int seconds_ = 0;
  int exit_code_ = 0;
  bool accepting_ = false;
  bool paused_ = false;  // too many connections
};

}  // namespace saola::proxy
