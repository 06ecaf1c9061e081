#include "proxy/upstream.h"

#include <algorithm>

#include "proxy/edge_services.h"

namespace saola::proxy {
namespace {

using std::chrono::microseconds;

// How often the time of running requests is looked at: often enough for the shortest time-out.
constexpr config::Milliseconds kLongestPeriod{250};
constexpr config::Milliseconds kShortestPeriod{10};
constexpr int kLooksPerTimeout = 8;

config::Milliseconds period_of_looks(const config::Config& config, std::string_view name,
                                     const config::App& app) {
  auto shortest = config::Milliseconds::max();
  const auto count = [&shortest](config::Milliseconds time) {
    if (time.count() > 0) shortest = std::min(shortest, time);
  };
  for (const auto time : {app.request_timeout, app.request_max_time, app.sync_max_time}) {
    count(time);
  }
  for (const config::Route& route : config.routes) {
    if (!route.app.empty() && route.app != name) continue;
    for (const auto& time : {route.request_timeout, route.request_max_time}) {
      if (time) count(*time);
    }
  }
  if (shortest == config::Milliseconds::max()) return config::Milliseconds(0);
  count(app.timeout_grace);
  return std::clamp(shortest / kLooksPerTimeout, kShortestPeriod, kLongestPeriod);
}

}  // namespace

Upstream::Upstream(EdgeServices& services, std::string name, const config::App& app, Events events)
    : services_(services),
      name_(std::move(name)),
      metrics_(services.metrics->app(name_)),
      app_(app),
      events_(std::move(events)),
      progress_timer_(
          services.loop, [](void* self) { static_cast<Upstream*>(self)->check_progress(); }, this),
      times_timer_(
          services.loop, [](void* self) { static_cast<Upstream*>(self)->check_times(); }, this),
      times_period_(period_of_looks(services.config, name_, app)),
      deadline_timer_(
          services.loop, [](void* self) { static_cast<Upstream*>(self)->expire_queue(); }, this) {
  whole_requests_ = app.interface == config::Interface::kWsgi;
}

Upstream::~Upstream() = default;

// ---- requests ----------------------------------------------------------------------------------

bool Upstream::has_room() const {
  return queue_.size() < static_cast<std::size_t>(app_.queue_limit);
}

void Upstream::enqueue(Exchange& exchange) {
  if (exchange.arrival() == 0) exchange.set_arrival(next_arrival_++);
  // Nobody overtakes those who wait, except what has waited longer.
  const bool first = queue_.empty() || exchange.arrival() < queue_.front()->arrival();
  if (first && !dispatching_ && dispatch_one(exchange)) return;
  queue_.insert(exchange);
  watch_deadline();
}

bool Upstream::dispatch_one(Exchange& exchange) {
  const std::size_t index = pick_worker(loads_, turn_);
  if (index == kNone) return false;
  WorkerConnection& worker = *workers_[index];
  if (!worker.can_send()) return false;
  turn_ = index + 1;
  worker.send(exchange);
  watch_progress();
  return true;
}

void Upstream::dispatch_waiting() {
  if (dispatching_) return;
  dispatching_ = true;
  while (!queue_.empty()) {
    Exchange& exchange = *queue_.front();
    queue_.remove(exchange);
    if (!dispatch_one(exchange)) {
      queue_.insert(exchange);
      break;
    }
  }
  dispatching_ = false;
}

void Upstream::on_slot_free(WorkerConnection& worker) {
  if (!queue_.empty()) dispatch_waiting();
  if (leaving_) leave_if_done();
  if (!worker.load.accepts && worker.has_nothing_left()) return report_if_idle(worker);
  if (worker.load.outstanding == 0) {
    // Idle while others hold what they have not begun: look at once, not at the next tick.
    if (workers_.size() > 1) watch_progress();
  }
}

// ---- progress ----------------------------------------------------------------------------------

// Ticks while some worker holds a request that it has not begun and another could take it.
void Upstream::watch_progress() {
  if (progress_timer_.active() || workers_.size() < 2) return;
  progress_timer_.start(kMoment);
}

void Upstream::check_progress() {
  const auto now = services_.loop.now();
  bool waiting = false;
  for (std::size_t i = 0; i < workers_.size(); ++i) {
    WorkerConnection& worker = *workers_[i];
    const bool progresses = now - worker.last_progress < kMoment;
    if (!progresses) worker.load.lively = false;
    const auto oldest = worker.oldest_unclaimed();
    if (oldest == Clock::time_point::max()) {
      worker.load.stalled = false;
      continue;
    }
    waiting = true;
    if (now - oldest < kMoment || progresses) continue;
    // Others may take them only if there is room elsewhere, or the ones that wait are younger.
    const bool already = worker.load.stalled;
    worker.load.stalled = true;
    const bool others = std::any_of(workers_.begin(), workers_.end(), [&](const auto& other) {
      return other.get() != &worker && (other->load.has_free_slot() || other->load.may_prefetch());
    });
    // Over its slots nothing can start here before an answer: back to the queue, in their place.
    if (others || (!already && worker.load.outstanding > worker.load.slots)) {
      dispatching_ = true;
      worker.take_back_unclaimed();
      dispatching_ = false;
    }
  }
  dispatch_waiting();
  if (waiting) watch_progress();
}

// ---- the time of requests that run --------------------------------------------------------------

void Upstream::watch_times() {
  if (times_period_.count() > 0 && !times_timer_.active()) times_timer_.start(times_period_);
}

void Upstream::check_times() {
  bool more = false;
  for (const auto& worker : workers_) more = worker->look_at_requests() || more;
  if (more) watch_times();
}

RequestTimes Upstream::times_of(const Exchange& exchange, const ipc::WorkerAdd& worker) const {
  const bool sync = worker.whole_requests && worker.slots == 1;
  auto total = app_.request_max_time;
  if (total.count() == 0 && sync) total = app_.sync_max_time;
  return {exchange.route_timeout.value_or(app_.request_timeout),
          exchange.route_max_time.value_or(total)};
}

void Upstream::on_worker_overdue(WorkerConnection& worker, std::string reason) {
  events_.on_worker_overdue(worker.id(), std::move(reason));
}

// ---- the queue's deadline ----------------------------------------------------------------------

void Upstream::watch_deadline() {
  if (deadline_timer_.active() || queue_.empty() || app_.queue_timeout.count() == 0) return;
  const auto due = queue_.front()->queued_at() + app_.queue_timeout;
  deadline_timer_.start(std::chrono::duration_cast<microseconds>(due - services_.loop.now()) +
                        kMoment);
}

void Upstream::expire_queue() {
  const auto now = services_.loop.now();
  while (!queue_.empty() && queue_.front()->queued_at() + app_.queue_timeout <= now) {
    Exchange& late = *queue_.front();
    queue_.remove(late);
    late.on_queue_timeout();
  }
  watch_deadline();
}

// ---- workers -----------------------------------------------------------------------------------

void Upstream::add_worker(const ipc::WorkerAdd& facts, UniqueFd socket, ipc::ClaimTable claims) {
  if (!facts.standby) whole_requests_ = facts.whole_requests;
  auto worker = std::make_unique<WorkerConnection>(services_, *this, facts, std::move(socket),
                                                   std::move(claims));
  worker->load.prefetch = static_cast<std::uint32_t>(app_.prefetch);
  worker->load.accepts = !facts.standby;
  loads_.push_back(&worker->load);
  workers_.push_back(std::move(worker));
  dispatch_waiting();
}

WorkerConnection* Upstream::find(std::uint32_t worker_id) {
  for (const auto& worker : workers_) {
    if (worker->id() == worker_id) return worker.get();
  }
  return nullptr;
}

void Upstream::drain_worker(std::uint32_t worker_id) {
  WorkerConnection* worker = find(worker_id);
  if (worker == nullptr || !worker->load.accepts) return;
  worker->load.accepts = false;
  worker->idle_reported = false;
  worker->send_drain();
  dispatching_ = true;
  worker->take_back_unclaimed();
  dispatching_ = false;
  dispatch_waiting();
  if (worker->has_nothing_left()) report_if_idle(*worker);
}

void Upstream::commit(std::uint32_t generation, const config::App* app, bool rolling) {
  leaving_ = app == nullptr;
  if (leaving_) return leave_if_done();
  app_ = *app;
  times_period_ = period_of_looks(services_.config, name_, app_);
  std::vector<std::uint32_t> old;
  for (auto& worker : workers_) {
    if (worker->generation() != generation) {
      if (!rolling) old.push_back(worker->id());
      continue;
    }
    worker->load.accepts = !worker->broken();
    worker->load.prefetch = static_cast<std::uint32_t>(app_.prefetch);
    whole_requests_ = worker->whole_requests();
  }
  for (const std::uint32_t id : old) drain_worker(id);
  dispatch_waiting();
}

// Nobody sends it anything any more; its workers go when nothing waits for them.
void Upstream::leave_if_done() {
  if (!queue_.empty()) return;
  std::vector<std::uint32_t> all;
  for (auto& worker : workers_) {
    if (worker->oldest_unclaimed() != Clock::time_point::max()) return;
    all.push_back(worker->id());
  }
  for (const std::uint32_t id : all) drain_worker(id);
}

void Upstream::report_if_idle(WorkerConnection& worker) {
  if (worker.broken() || std::exchange(worker.idle_reported, true)) return;
  events_.on_worker_idle(worker.id());
}

void Upstream::remove_worker(std::uint32_t worker_id) {
  // What it sent before it ended is still answers.
  if (WorkerConnection* worker = find(worker_id)) worker->receive_all();
  if (WorkerConnection* worker = find(worker_id)) retire(*worker);
}

void Upstream::on_worker_broken(WorkerConnection& worker, std::string reason) {
  const std::uint32_t id = worker.id();
  retire(worker);
  events_.on_worker_lost(id, std::move(reason));
}

// Takes the worker out, then settles what it had: requests move to the others in one step.
void Upstream::retire(WorkerConnection& worker) {
  const auto at = std::find_if(workers_.begin(), workers_.end(),
                               [&](const auto& other) { return other.get() == &worker; });
  std::unique_ptr<WorkerConnection> dying = std::move(*at);
  workers_.erase(at);
  loads_.clear();
  for (const auto& other : workers_) loads_.push_back(&other->load);
  dispatching_ = true;
  dying->fail_all();
  dispatching_ = false;
  services_.loop.delete_later(std::move(dying));
  dispatch_waiting();
}

void Upstream::add_to(ipc::EdgeReport& report) const {
  const auto now = services_.loop.now();
  const auto seconds = [](Clock::duration time) {
    return std::chrono::duration<double>(time).count();
  };
  const std::size_t before = report.requests.size();
  for (const auto& worker : workers_) worker->add_to(report);
  report.apps.push_back({name_, static_cast<std::uint32_t>(queue_.size()),
                         queue_.empty() ? 0 : seconds(now - queue_.front()->queued_at()),
                         static_cast<std::uint32_t>(report.requests.size() - before), finished_,
                         seconds(finished_time_)});
}

void Upstream::sample_metrics() const {
  std::size_t running = 0;
  for (const auto& worker : workers_) running += worker->load.outstanding;
  metrics_.sample(queue_.size(), running);
}

void Upstream::flush() {
  // flush() may find a worker broken, which changes workers_.
  for (std::size_t i = workers_.size(); i-- > 0;) {
    if (i < workers_.size()) workers_[i]->flush();
  }
}

}  // namespace saola::proxy
