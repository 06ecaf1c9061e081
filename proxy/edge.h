// Edge: everything of the edge process: listeners, connections, upstreams, and the supervisor's
// words.
//
// One thread (the FilePool's and the log writers' threads aside). Made from EdgeInit; runs until
// the supervisor says Drain and everything is answered, or until the supervisor is gone.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/event/timer.h"
#include "common/ipc/control_channel.h"
#include "common/ipc/control_message.h"
#include "proxy/client_connection.h"
#include "proxy/listener.h"
#include "proxy/upstream.h"

namespace saola::proxy {

class Edge final : public ClientConnection::Owner {
 public:
  struct Boot {
    config::Config config;
    std::vector<std::vector<ipc::KeyPair>> key_pairs;  // per listener
    std::vector<UniqueFd> listeners;                   // in the order of config.listen
    UniqueFd access_log;                               // invalid: off
  };

  Edge(EventLoop& loop, ipc::ControlChannel& control, LineWriter& error_log, Boot boot);
  ~Edge() override;

  // Makes TLS contexts and listeners; says what is wrong with the configuration. Tells the
  // supervisor Ready.
  Result<void> start();

  // Returns the exit code.
  int run();

  void on_connection_closed(ClientConnection& connection) override;

 private:
  void end_of_turn();
  void flush_clients();
  void housekeeping();

  void on_control();
  void handle(const ipc::ControlMessage& message, std::vector<UniqueFd> fds);
  void add_worker(const ipc::WorkerAdd& worker, std::vector<UniqueFd> fds);
  void reopen_logs(const ipc::ReopenLogs& message, std::vector<UniqueFd> fds);
  void tell_supervisor(const ipc::ControlMessage& message);
  void begin_drain(std::uint32_t timeout_ms);
  void finish_drain_if_idle();

  bool accept(UniqueFd socket, Listener::Context& context, Peer peer);
  void open_listeners();
  std::size_t connection_limit() const;
  void warn_of_expiry(const TlsContext& tls, std::string_view address);

  EventLoop& loop_;
  ipc::ControlChannel& control_;
  LineWriter& error_log_;
  Boot boot_;
  std::unique_ptr<LineWriter> access_writer_;
  std::unique_ptr<AccessLogFormat> access_format_;
  std::unique_ptr<EdgeServices> services_;
  std::map<std::string, std::unique_ptr<Upstream>, std::less<>> upstreams_;
  std::vector<std::unique_ptr<Listener>> listeners_;
  std::vector<std::unique_ptr<ClientConnection>> connections_;
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
