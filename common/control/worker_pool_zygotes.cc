// WorkerPool, the part that has to do with zygotes (app.preload).
#include <fmt/format.h>

#include <algorithm>

#include "common/control/worker_pool.h"
#include "common/control/worker_pool_seats.h"

namespace saola::control {

// True: the app has a zygote that cannot fork yet. zygote_ready() goes on with what waits.
bool WorkerPool::await_zygote(App& app) {
  if (!app.zygote || app.zygote->ready()) return false;
  app.zygote->start();
  return true;
}

void WorkerPool::child_born(Child& child) { worker_of(child).set_born(); }

void WorkerPool::zygote_ready(const std::string& name) {
  App& app = *find_app(name);
  app.last_reason.clear();
  start_waiting(app);
  for (auto& seat : app.seats) {
    if (seat->replaces != LeaveReason::kNone) recycle(*seat, seat->replaces);
  }
}

void WorkerPool::zygote_failed(const std::string& name, const std::string& reason, bool application,
                               int attempts) {
  if (duty_ == Duty::kLeave) return;
  App& app = *find_app(name);
  const bool first = !app.ever_ready && (application || attempts >= kFirstAttempts);
  if (duty_ == Duty::kStandBy || first) return observer_.app_failed(*this, name, reason);
  if (application) tell_boot_failure(app, "zygote " + name, reason);
}

void WorkerPool::zygote_gone() { report_if_empty(); }

bool WorkerPool::empty() const {
  return workers_.empty() && std::none_of(apps_.begin(), apps_.end(), [](const auto& app) {
           return app->zygote && app->zygote->running();
         });
}

}  // namespace saola::control
