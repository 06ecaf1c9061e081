// Supervision, the part that replaces one generation by the next worker by worker (rollout.h says
// who is next).
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "common/control/supervision.h"

namespace saola::control {
namespace {

double seconds(Clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

}  // namespace

std::vector<WorkerPool*> Supervision::yielding_pools() const {
  std::vector<WorkerPool*> found;
  for (const auto& pool : old_pools_) {
    if (pool->yielding()) found.push_back(pool.get());
  }
  return found;
}

RolloutView Supervision::view_of(const WorkerPool& fresh, const std::string& app) const {
  const auto staff = fresh.staff(app);
  RolloutView view;
  view.wanted = staff.seats;
  view.boot_concurrency = fresh.generation().config.apps.at(app).boot_concurrency;
  view.fresh = staff.processes;
  view.booting = staff.booting;
  view.ready = staff.ready;
  for (const WorkerPool* pool : yielding_pools()) {
    const auto older = pool->staff(app);
    view.older_seats += older.seats;
    view.older_processes += older.processes + older.absent;
  }
  if (!roll_) return view;
  if (const auto before = roll_->before.find(app); before != roll_->before.end()) {
    view.before = before->second;
  }
  return view;
}

bool Supervision::may_start(const WorkerPool& pool, const std::string& app) {
  if (reload_ && reload_->pool.get() == &pool) {
    RolloutView view = view_of(pool, app);
    // What a roll that this reload interrupts has begun counts too.
    if (roll_) view.booting += pool_->staff(app).booting;
    return may_boot_first(view);
  }
  if (!roll_ || pool_.get() != &pool) return true;
  const RolloutView view = view_of(pool, app);
  // While the next reload finds out whether it can serve, only what dies is replaced.
  if (reload_ && view.ready + view.booting >= roll_->most[app]) return false;
  return may_boot_next(view);
}

void Supervision::staff_changed(WorkerPool& pool) {
  if (reload_ && reload_->pool.get() == &pool) return try_first_workers();
  step_roll();
  // Its first worker may have waited for one that the roll had begun.
  if (reload_ && reload_->rolling && reload_->pool) reload_->pool->look_again();
}

// The edge sends either kind of worker what it needs, but not both kinds at a time.
std::string Supervision::why_not_rolling() const {
  for (const auto& [name, app] : reload_->next->config.apps) {
    const std::string is = reload_->pool->interface_of(name);
    for (const auto& pool : pools()) {
      if (pool == reload_->pool.get() || (pool != pool_.get() && !pool->yielding())) continue;
      const std::string was = pool->interface_of(name);
      if (was.empty() || was == is) continue;
      return fmt::format(
          "app '{}' becomes {} from {}: both cannot serve it at a time; reload "
          "without --rolling",
          name, is, was);
    }
  }
  return {};
}

void Supervision::try_first_workers() {
  if (!reload_->rolling || reload_->tried) return;
  for (const auto& [name, app] : reload_->next->config.apps) {
    if (reload_->pool->staff(name).ready == 0) return;
  }
  reload_->tried = true;
  if (const auto why = why_not_rolling(); !why.empty()) return fail_reload(why);
  probe_or_commit();
}

// The edge dispatches to both generations.
void Supervision::begin_roll(WorkerPool& old, Clock::duration grace) {
  const auto deadline = loop_.now() + grace;
  const auto reload = std::exchange(reload_, nullptr);
  reload_timer_.cancel();
  std::vector<Done> overtaken;
  if (roll_) overtaken = std::move(roll_->done);
  old.yield(generation_->config, deadline);
  for (WorkerPool* pool : yielding_pools()) pool->yield(generation_->config, deadline);
  roll_ = std::make_unique<Roll>();
  roll_->started_at = reload->started_at;
  roll_->done = std::move(reload->done);
  for (const auto& [name, app] : generation_->config.apps) {
    for (const WorkerPool* pool : yielding_pools()) {
      roll_->before[name] += pool->staff(name).seats;
    }
  }
  log_.info("reload: generation {} serves beside the older ones, and replaces them one by one",
            generation_->number);
  const std::string said =
      fmt::format("generation {} took over before every worker was replaced", generation_->number);
  for (const auto& done : overtaken) done(said);
  if (!next_reload_.empty()) next_reload_timer_.start(std::chrono::microseconds(0));
  step_roll();
}

void Supervision::step_roll() {
  if (!roll_) return;
  bool complete = true;
  for (const auto& [name, app] : generation_->config.apps) {
    const RolloutView view = view_of(*pool_, name);
    auto& most = roll_->most[name];
    most = std::max(most, view.ready);
    int leaving = seats_to_give_up(view);
    // The oldest generation first.
    for (WorkerPool* pool : yielding_pools()) {
      const int here = std::min(leaving, pool->staff(name).seats);
      pool->give_up(name, here, LeaveReason::kReload);
      leaving -= here;
    }
    complete = complete && view.ready >= view.wanted;
  }
  if (complete) return finish_roll();
  pool_->look_again();
}

void Supervision::finish_roll() {
  const auto roll = std::exchange(roll_, nullptr);
  pool_->set_paced(false);
  const auto& server = this->server();
  const auto grace = std::max(server.graceful_timeout, server.stream_drain_timeout);
  const std::string said =
      fmt::format("generation {} serves after {:.2f} s, worker by worker: {}", generation_->number,
                  seconds(std::chrono::steady_clock::now() - roll->started_at), pool_->describe());
  log_.info("reload: {}", said);
  follow_the_load();
  tell_outcome(roll->done, said);
  for (WorkerPool* pool : yielding_pools()) pool->leave(loop_.now() + grace);  // may end it at once
}

// Another generation serves alone now.
void Supervision::overtake_roll(Clock::time_point deadline) {
  if (!roll_) return;
  const auto roll = std::exchange(roll_, nullptr);
  const std::string said =
      fmt::format("generation {} took over before every worker was replaced", generation_->number);
  for (const auto& done : roll->done) done(said);
  for (WorkerPool* pool : yielding_pools()) pool->leave(deadline);
}

// Both generations serve on as they are.
void Supervision::break_off_roll(const std::string& why) {
  const auto roll = std::exchange(roll_, nullptr);
  log_.warning("the rolling reload ends half-way: {}", why);
  pool_->set_paced(false);
  pool_->forget_empty_seats();
  tell_outcome(roll->done, fail("the rolling reload ended half-way: " + why));
}

}  // namespace saola::control
