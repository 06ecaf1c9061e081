// WorkerConnection, the part that watches the time of what the worker runs.
#include <utility>

#include "proxy/edge_services.h"
#include "proxy/upstream.h"
#include "proxy/worker_connection.h"

namespace saola::proxy {
namespace {

using Verdict = RequestClock::Verdict;

// Longer lists of overdue requests are cut; each has its own line in the log.
constexpr std::size_t kLongestReason = 1000;

double seconds(Clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

}  // namespace

bool WorkerConnection::look_at_requests() {
  if (broken_) return false;
  const auto now = services_.loop.now();
  const auto grace = upstream_.app().timeout_grace;
  if (clocks_.empty()) clocks_.resize(slots_.size());
  std::string overdue;
  for (std::size_t index = 0; index < slots_.size(); ++index) {
    Slot& slot = slots_[index];
    RequestClock& clock = clocks_[index];
    // Also for the sake of a later request with this number: they come again after 65536.
    if (!slot.in_use) {
      clock.reset();
      continue;
    }
    RequestClock::Sight sight;
    sight.stream = slot.stream;
    sight.heard = std::exchange(slot.heard, false);
    sight.claimed = sight.heard || !claims_.is_offered(index, slot.stream);
    sight.client_gone = slot.exchange == nullptr;
    RequestTimes times;
    if (slot.exchange != nullptr) {
      sight.client_holds = slot.exchange->client_holds();
      times = upstream_.times_of(*slot.exchange, facts_);
    } else if (const auto known = abandoned_.find(slot.stream); known != abandoned_.end()) {
      times = known->second.times;
    }
    switch (const Verdict verdict = clock.look(now, sight, times, grace)) {
      case Verdict::kNothing:
        break;
      case Verdict::kRequestTimeout:
      case Verdict::kMaxTime:
        time_out(slot, verdict);
        break;
      case Verdict::kOverdue:
        ++overdue_;
        report_overdue(slot, now - clock.claimed_at(), overdue);
        break;
    }
  }
  const bool more = !has_nothing_left();
  if (!overdue.empty()) {
    if (!std::exchange(overdue_reported_, true)) upstream_.on_worker_overdue(*this, overdue);
    if (!more) upstream_.on_slot_free(*this);
  }
  return more;
}

void WorkerConnection::time_out(Slot& slot, Verdict verdict) {
  if (slot.exchange == nullptr) return send_abort(slot.stream, ipc::AbortReason::kTimeout);
  const RequestTimes times = upstream_.times_of(*slot.exchange, facts_);
  if (verdict == Verdict::kMaxTime) {
    slot.exchange->on_request_timeout("request_max_time", times.total);
  } else {
    slot.exchange->on_request_timeout("request_timeout", times.idle);
  }
}

// Its worker is going to be replaced for it.
void WorkerConnection::report_overdue(Slot& slot, Clock::duration ran, std::string& reason) {
  const auto known = abandoned_.find(slot.stream);
  if (known == abandoned_.end()) return;
  const Abandoned& request = known->second;
  services_.log.write(
      LogLevel::kError,
      fmt::format("{} still runs in worker {} (pid {}) after {:.1f} s: it has ignored its time-out "
                  "for timeout_grace",
                  request.line, id(), pid(), seconds(ran)),
      request.request_id);
  if (reason.size() > kLongestReason) return;
  if (!reason.empty()) reason += "; ";
  reason += fmt::format("request {} ({}) has ignored its time-out for timeout_grace",
                        request.request_id, request.line);
}

void WorkerConnection::forget_abandoned(const Slot& slot) {
  abandoned_.erase(slot.stream);
  if (clocks_.empty()) return;
  RequestClock& clock = clocks_[ipc::slot_of(slot.stream)];
  if (clock.overdue()) --overdue_;
  clock.reset();
}

}  // namespace saola::proxy
