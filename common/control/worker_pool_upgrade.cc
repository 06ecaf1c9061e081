// WorkerPool, the part that leaves its workers to another image of the supervisor, or has them from
// one (upgrade_state.h).
#include <algorithm>
#include <utility>

#include "common/control/worker_pool.h"
#include "common/control/worker_pool_seats.h"

namespace saola::control {

void WorkerPool::leave_to(UpgradeState& state) const {
  for (const auto& worker : workers_) {
    const Child& child = worker->child();
    state.processes.push_back({child.pid(), child.control_fd(), child.name(), false,
                               worker->state() != WorkerState::kBooting});
  }
  if (duty_ != Duty::kServe) return;
  for (const auto& app : apps_) {
    state.service.wanted[app->name] = static_cast<std::uint32_t>(app->seats.size());
    for (const auto& seat : app->seats) {
      if (seat->worker == nullptr || seat->worker->state() != WorkerState::kReady) continue;
      const auto& facts = seat->worker->facts();
      state.service.workers.push_back({static_cast<std::int32_t>(facts.pid), facts.worker_id,
                                       facts.scoreboard_slot, facts.app, app->interface,
                                       facts.slots});
    }
  }
}

std::vector<std::uint32_t> WorkerPool::adopt(const UpgradeState& state) {
  for (const auto& app : apps_) {
    const auto wanted = state.service.wanted.find(app->name);
    if (wanted == state.service.wanted.end()) continue;
    while (app->seats.size() < wanted->second) {
      app->seats.push_back(std::make_unique<Seat>(*this, *app));
    }
    // A scale() before the upgrade may have made them fewer.
    while (app->seats.size() > std::max<std::size_t>(wanted->second, 1)) app->seats.pop_back();
  }
  std::vector<std::uint32_t> gone;
  for (const auto& one : state.service.workers) {
    App* app = find_app(one.app);
    const auto process =
        std::find_if(state.processes.begin(), state.processes.end(),
                     [&one](const auto& candidate) { return candidate.pid == one.pid; });
    if (app == nullptr || process == state.processes.end()) continue;
    const auto seat = std::find_if(app->seats.begin(), app->seats.end(),
                                   [](const auto& s) { return s->worker == nullptr; });
    if (seat == app->seats.end()) continue;
    auto worker = WorkerProcess::adopt(ground_, *generation_, one, process->control,
                                       static_cast<Child::Owner&>(*this));
    if (!worker) {
      log_.warning("worker {} {} is not there any more: {}", one.app, one.id,
                   worker.error().message);
      gone.push_back(one.id);
      continue;
    }
    app->interface = one.interface;
    app->ever_ready = true;
    (*seat)->worker = worker->get();
    (*seat)->worker->known_to_edge = true;
    workers_.push_back(*std::move(worker));
  }
  return gone;
}

}  // namespace saola::control
