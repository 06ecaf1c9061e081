// ControlConnection: one client of the control socket. Requests are answered one after the other,
// in order; while one is being carried out, nothing more is read, so what is kept for a client is
// bounded by one request and one answer.
//
// A client that ends its own direction (echo ... | nc -U) still gets its answer; one that has gone
// is forgotten, and what it asked for goes on.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "common/control/control_commands.h"
#include "common/core/log.h"
#include "common/core/unique_fd.h"
#include "common/event/io_watcher.h"
#include "common/event/timer.h"
#include "common/ipc/control_protocol.h"

namespace saola::control {

class ControlConnection final : public Deletable {
 public:
  // Without a request and with nothing to do; also for a client that does not take its answer.
  static constexpr std::chrono::seconds kIdleTimeout{60};

  class Owner {
   public:
    virtual ~Owner() = default;
    // Unlinks the connection and gives it to EventLoop::delete_later(). Called once.
    virtual void on_closed(ControlConnection& connection) = 0;
  };

  // `peer` for the log: "uid 0, pid 4711". `socket` does not block.
  ControlConnection(EventLoop& loop, const Logger& log, ControlCommands& commands, Owner& owner,
                    UniqueFd socket, std::string peer);
  ~ControlConnection() override;

  // Says why nothing will be done for it, and closes.
  void refuse(const std::string& reason);

 private:
  // Answers of commands may come when the connection is no more.
  struct Anchor {
    ControlConnection* connection;
  };

  static void on_ready(void* self, short what);
  static void on_timer(void* self);
  void receive();
  void take_requests();
  void handle(std::string_view line);
  void carry_out(const ipc::ControlRequest& request);
  ControlCommands::Done answer_later();
  void answer(const Result<ipc::ControlAnswer>& answer);
  void answer_text(const Result<std::string>& outcome);
  void on_done(std::uint64_t request, const Result<ipc::ControlAnswer>& answer);
  void flush();
  void update_interest();
  void close();

  const Logger& log_;
  ControlCommands& commands_;
  Owner& owner_;
  UniqueFd socket_;
  const std::string peer_;
  IoWatcher watcher_;
  Timer timer_;
  std::string input_;
  std::string output_;
  std::uint64_t request_ = 0;  // counts them, so that a second answer to one is noticed
  bool busy_ = false;          // a command is being carried out
  bool taking_ = false;        // inside of take_requests()
  bool ended_ = false;         // the client sends nothing more
  bool closing_ = false;       // close once the output is out
  bool closed_ = false;
  std::shared_ptr<Anchor> anchor_;
};

}  // namespace saola::control
