// WorkerPool, the part that takes seats over, or gives them up, one by one (rollout.h).
#include <algorithm>
#include <utility>

#include "common/control/worker_pool.h"
#include "common/control/worker_pool_seats.h"

namespace saola::control {

// One that could not start is tried again before the next one is: its wait is everybody's.
bool WorkerPool::may_boot_paced(const App& app) const {
  const bool waits = std::any_of(app.seats.begin(), app.seats.end(),
                                 [](const auto& seat) { return seat->timer.active(); });
  return !waits && observer_.may_start(*this, app.name);
}

void WorkerPool::look_again() {
  for (auto& app : apps_) start_waiting(*app);
}

void WorkerPool::yield(const config::Config& next, Clock::time_point deadline) {
  if (std::exchange(paced_, false)) forget_empty_seats();
  yielding_ = true;
  for (auto& app : apps_) {
    if (next.apps.contains(app->name)) continue;
    app->seats.clear();
    if (app->zygote) app->zygote->stop(WorkerLifecycle::kStopGrace);
    for (auto& worker : workers_) {
      if (worker->facts().app == app->name) let_go(*worker, deadline);
    }
  }
}

void WorkerPool::give_up(const std::string& name, int seats, LeaveReason reason) {
  App* app = find_app(name);
  if (app == nullptr) return;
  for (int i = 0; i < seats && !app->seats.empty(); ++i) remove_seat(*app, reason);
  if (yielding_ && app->seats.empty() && app->zygote)
    app->zygote->stop(WorkerLifecycle::kStopGrace);
}

void WorkerPool::forget_empty_seats() {
  for (auto& app : apps_) {
    for (std::size_t i = app->seats.size(); i-- > 0 && app->seats.size() > 1;) {
      const Seat& seat = *app->seats[i];
      if (seat.worker != nullptr && seat.worker->state() == WorkerState::kReady) continue;
      close_seat(*app, i, LeaveReason::kReload);
    }
  }
}

WorkerPool::Staff WorkerPool::staff(const std::string& name) const {
  Staff staff;
  const auto app = std::find_if(apps_.begin(), apps_.end(),
                                [&name](const auto& one) { return one->name == name; });
  if (app == apps_.end()) return staff;
  staff.seats = static_cast<int>((*app)->seats.size());
  for (const auto& seat : (*app)->seats) {
    if (seat->worker == nullptr && seat->successor == nullptr) ++staff.absent;
  }
  for (const auto& worker : workers_) {
    if (worker->facts().app != name) continue;
    ++staff.processes;
    if (worker->state() == WorkerState::kBooting) ++staff.booting;
    if (worker->state() == WorkerState::kReady) ++staff.ready;
  }
  return staff;
}

bool WorkerPool::has_seats() const {
  return std::any_of(apps_.begin(), apps_.end(),
                     [](const auto& app) { return !app->seats.empty(); });
}

std::string WorkerPool::interface_of(const std::string& name) const {
  const auto app = std::find_if(apps_.begin(), apps_.end(),
                                [&name](const auto& one) { return one->name == name; });
  return app == apps_.end() ? std::string() : (*app)->interface;
}

}  // namespace saola::control
