// RecyclePolicy: when a worker has served long enough. Pure: counts, sizes and times come as
// values.
#pragma once

#include <cstdint>
#include <string_view>

#include "common/config/config.h"
#include "common/core/clock.h"

namespace saola::control {

// Why a worker is replaced; counted by these names.
enum class LeaveReason : std::uint8_t {
  kNone,
  kMaxRequests,
  kMaxMemory,
  kMaxAge,
  kTimeout,  // a request ignored its time-out
  kHang,     // no sign of life
  kAsked,    // saola recycle
  kScale,    // fewer workers are wanted
  kReload,   // its generation has been replaced
};
inline constexpr std::size_t kLeaveReasons = 9;
const char* to_string(LeaveReason reason);

// What is known of a worker that serves.
struct WorkerFacts {
  std::uint64_t requests = 0;      // begun
  std::uint64_t memory_bytes = 0;  // 0: not measured
  Clock::duration age{};           // since it was ready
};

// One worker's limits; max_requests has its share of the jitter in it.
class RecyclePolicy {
 public:
  RecyclePolicy() = default;
  // `random` from 0 to 1, exclusive of 1: spreads the workers over max_requests_jitter.
  RecyclePolicy(const config::App& app, double random);

  LeaveReason due(const WorkerFacts& facts) const;
  bool watches_memory() const { return max_memory_ > 0; }
  std::uint64_t max_requests() const { return max_requests_; }

 private:
  std::uint64_t max_requests_ = 0;
  std::uint64_t max_memory_ = 0;
  Clock::duration max_age_{};
};

// No sign of life for `hang_timeout`, as the scoreboard says. `loop_turn` counts for workers with
// an event loop only: a WSGI worker that runs one long request turns nothing. Times of the steady
// clock; zero: never yet.
bool is_hung(Clock::time_point now, std::chrono::nanoseconds heartbeat,
             std::chrono::nanoseconds loop_turn, bool has_loop, Clock::duration hang_timeout);

}  // namespace saola::control
