#include "proxy/edge_report.h"

#include <algorithm>

namespace saola::proxy {

ipc::RunningRequest describe_running(const Exchange& exchange, std::uint32_t worker_id, bool begun,
                                     Clock::time_point now) {
  ipc::RunningRequest running;
  running.worker_id = worker_id;
  running.request_id = exchange.request_id.substr(0, ipc::EdgeReport::kMaxPath);
  const std::string_view method = exchange.head.method == ipc::Method::kOther
                                      ? exchange.head.method_text
                                      : ipc::method_name(exchange.head.method);
  running.method = method.substr(0, ipc::EdgeReport::kMaxPath);
  // Not the query: tokens stand there.
  running.path = exchange.head.raw_path.substr(0, ipc::EdgeReport::kMaxPath);
  running.state = exchange.response_started() ? "answering" : begun ? "running" : "sent";
  running.seconds = std::chrono::duration<double>(now - exchange.started).count();
  return running;
}

void keep_longest(ipc::EdgeReport& report) {
  auto& requests = report.requests;
  const std::size_t kept = std::min(requests.size(), ipc::EdgeReport::kMaxRequests);
  std::partial_sort(requests.begin(), requests.begin() + static_cast<std::ptrdiff_t>(kept),
                    requests.end(),
                    [](const auto& a, const auto& b) { return a.seconds > b.seconds; });
  requests.resize(kept);
}

}  // namespace saola::proxy
