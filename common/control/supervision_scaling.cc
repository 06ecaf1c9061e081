// Supervision, the part that follows the load with the number of workers (workers = { min, max }).
#include <utility>

#include "common/control/supervision.h"

namespace saola::control {
namespace {

constexpr std::chrono::seconds kLook{1};

}  // namespace

// After each load of the configuration.
void Supervision::follow_the_load() {
  scaling_.clear();
  for (const auto& [name, app] : generation_->config.apps) {
    if (app.workers_max > 0) scaling_.emplace(name, ScalePolicy(app.workers, app.workers_max));
  }
  if (!scaling_.empty()) scale_timer_.start(kLook);
}

void Supervision::on_scale_timer(void* self) {
  auto& supervision = *static_cast<Supervision*>(self);
  if (supervision.scaling_.empty() || supervision.phase_ != Phase::kServing) return;
  supervision.scale_timer_.start(kLook);
  if (supervision.reloads()) return;
  supervision.inspect([&supervision](const Result<ipc::EdgeReport>& report) {
    // Without an edge nothing waits that more workers would help.
    if (report) supervision.look_at_the_load(*report);
  });
}

void Supervision::look_at_the_load(const ipc::EdgeReport& report) {
  if (phase_ != Phase::kServing || reloads()) return;
  for (const auto& load : report.apps) {
    const auto policy = scaling_.find(load.app);
    if (policy == scaling_.end()) continue;
    const int workers = pool_->wanted(load.app);
    if (workers == 0) continue;  // they rest
    const auto ready = pool_->ready_workers(load.app);
    const int wanted =
        policy->second.wanted(loop_.now(), {std::chrono::duration_cast<Clock::duration>(
                                                std::chrono::duration<double>(load.longest_wait)),
                                            workers, static_cast<int>(ready.size()), load.running,
                                            pool_->slots(load.app)});
    if (wanted == workers) continue;
    if (const auto scaled = pool_->scale(load.app, wanted); !scaled) {
      log_.warning("the number of workers stays: {}", scaled.error().message);
    }
  }
}

}  // namespace saola::control
