// ReadinessProbe: one GET of the edge's own to one worker, before clients' requests may come to it
// (app.ready_path). The answer's body is thrown away.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "proxy/exchange.h"

namespace saola::proxy {

class ReadinessProbe final : private Downstream {
 public:
  // `status`: of the answer; 0: there was none. Called once, maybe from within the constructor.
  using OnAnswer = std::function<void(int status)>;

  // Sends the request to `worker`, which can_send(); `target` as in a request line.
  ReadinessProbe(EdgeServices& services, Upstream& upstream, WorkerConnection& worker,
                 std::string_view host, std::string_view target, OnAnswer on_answer);

  bool is_over() const { return exchange_.state() == Exchange::State::kDone; }

 private:
  void send_head(const ipc::ResponseHeadView& head, bool end) override;
  void send_interim(const ipc::ResponseHeadView&) override {}
  void send_body(std::string_view) override {}
  void send_end(const std::vector<ipc::Field>&) override {}
  void send_refusal(int status, std::string_view extra_fields) override;
  void break_off() override { report(0); }
  bool has_room() const override { return true; }
  void on_body_wanted() override {}
  void report(int status);

  Exchange exchange_;
  OnAnswer on_answer_;
};

}  // namespace saola::proxy
