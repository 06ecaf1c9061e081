// What EdgeReport says of one request, and which requests it names. Pure.
#pragma once

#include "common/core/clock.h"
#include "common/ipc/control_message.h"
#include "proxy/exchange.h"

namespace saola::proxy {

// `begun`: the worker has claimed it.
ipc::RunningRequest describe_running(const Exchange& exchange, std::uint32_t worker_id, bool begun,
                                     Clock::time_point now);

// Puts the longest-running requests first and drops those beyond EdgeReport::kMaxRequests.
void keep_longest(ipc::EdgeReport& report);

}  // namespace saola::proxy
