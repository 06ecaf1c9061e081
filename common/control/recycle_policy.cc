#include "common/control/recycle_policy.h"

#include "common/core/check.h"

namespace saola::control {

const char* to_string(LeaveReason reason) {
  switch (reason) {
    case LeaveReason::kNone:
      return "";
    case LeaveReason::kMaxRequests:
      return "max_requests";
    case LeaveReason::kMaxMemory:
      return "max_memory";
    case LeaveReason::kMaxAge:
      return "max_age";
    case LeaveReason::kTimeout:
      return "timeout";
    case LeaveReason::kHang:
      return "hang";
    case LeaveReason::kAsked:
      return "asked";
    case LeaveReason::kScale:
      return "scale";
    case LeaveReason::kReload:
      return "reload";
  }
  SAOLA_UNREACHABLE();
}

RecyclePolicy::RecyclePolicy(const config::App& app, double random)
    : max_requests_(app.max_requests), max_memory_(app.max_memory), max_age_(app.max_age) {
  if (max_requests_ == 0) return;
  max_requests_ +=
      static_cast<std::uint64_t>(random * static_cast<double>(app.max_requests_jitter + 1));
}

LeaveReason RecyclePolicy::due(const WorkerFacts& facts) const {
  if (max_requests_ > 0 && facts.requests >= max_requests_) return LeaveReason::kMaxRequests;
  if (max_memory_ > 0 && facts.memory_bytes > max_memory_) return LeaveReason::kMaxMemory;
  if (max_age_ > Clock::duration::zero() && facts.age >= max_age_) return LeaveReason::kMaxAge;
  return LeaveReason::kNone;
}

bool is_hung(Clock::time_point now, std::chrono::nanoseconds heartbeat,
             std::chrono::nanoseconds loop_turn, bool has_loop, Clock::duration hang_timeout) {
  if (hang_timeout <= Clock::duration::zero()) return false;
  const auto silent = [&](std::chrono::nanoseconds last) {
    // The worker wrote it: a time that has not come yet is as good as now.
    return last.count() > 0 && now - Clock::time_point(last) > hang_timeout;
  };
  return silent(heartbeat) || (has_loop && silent(loop_turn));
}

}  // namespace saola::control
