#include "proxy/readiness_probe.h"

#include <fmt/format.h>

#include <utility>

#include "proxy/edge_services.h"
#include "proxy/request_target.h"
#include "proxy/upstream.h"

namespace saola::proxy {

ReadinessProbe::ReadinessProbe(EdgeServices& services, Upstream& upstream, WorkerConnection& worker,
                               std::string_view host, std::string_view target, OnAnswer on_answer)
    : exchange_(services, *this), on_answer_(std::move(on_answer)) {
  http1::RequestParser parser({});
  const auto head = parser.feed(
      fmt::format("GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: saola-probe\r\n\r\n", target, host));
  if (!head || !parser.complete()) {
    exchange_.refuse(400, "probe");
    return;
  }
  parser.take_head(exchange_.head);
  if (!decode_path(exchange_.head.raw_path, exchange_.path)) {
    exchange_.refuse(400, "probe");
    return;
  }
  exchange_.script_path = exchange_.path;
  exchange_.started = services.loop.now();
  services.request_ids.next(exchange_.request_id);
  exchange_.start_at(upstream, worker);
}

void ReadinessProbe::send_head(const ipc::ResponseHeadView& head, bool) { report(head.status); }

void ReadinessProbe::send_refusal(int status, std::string_view) { report(status); }

void ReadinessProbe::report(int status) {
  if (auto answer = std::exchange(on_answer_, nullptr)) answer(status);
}

}  // namespace saola::proxy
