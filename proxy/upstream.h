// Upstream: one app: the requests that wait for it, and its workers.
//
// All waiting happens here, in order of arrival, within queue_limit and queue_timeout. What was
// sent to a worker and not claimed is taken back when that worker makes no progress for about a
// millisecond, and goes to another one (promise 3: an idle worker never watches a queue).
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/event/timer.h"
#include "proxy/edge_metrics.h"
#include "proxy/exchange_queue.h"
#include "proxy/worker_connection.h"

namespace saola::proxy {

class Upstream {
 public:
  // A worker that ends its requests within this time gets some sent ahead; one that has shown
  // nothing for as long gives its unclaimed ones back.
  static constexpr std::chrono::microseconds kMoment{1000};

  struct Events {
    std::function<void(std::uint32_t worker_id)>
        on_worker_idle;  // a draining worker has nothing left
    std::function<void(std::uint32_t worker_id, std::string reason)> on_worker_lost;
    // A request of the worker ignores its time-out; said once per worker.
    std::function<void(std::uint32_t worker_id, std::string reason)> on_worker_overdue;
  };

  Upstream(EdgeServices& services, std::string name, const config::App& app, Events events);
  ~Upstream();

  std::string_view name() const { return name_; }
  const config::App& app() const { return app_; }
  // As the app's interface needs it; known from the first worker on.
  bool whole_requests() const { return whole_requests_; }

  // False: queue_limit is reached.
  bool has_room() const;
  // Sends it to a worker or lets it wait. Taken-back ones come here again and keep their place.
  void enqueue(Exchange& exchange);
  void remove(Exchange& exchange) { queue_.remove(exchange); }

  // One that stands by gets nothing before commit().
  void add_worker(const ipc::WorkerAdd& facts, UniqueFd socket, ipc::ClaimTable claims);
  void drain_worker(std::uint32_t worker_id);
  // Workers of this generation get the requests from now on, the others only finish what they have.
  // `app`: the new settings; null: the app is configured no more, and its workers first do what
  // still waits for them. `rolling`: the others get requests too, each until drain_worker().
  void commit(std::uint32_t generation, const config::App* app, bool rolling = false);
  // The process has ended. Does nothing for a worker that is gone already.
  void remove_worker(std::uint32_t worker_id);

  // Null: none of that id.
  WorkerConnection* find(std::uint32_t worker_id);

  // From WorkerConnection.
  void on_slot_free(WorkerConnection& worker);
  void on_worker_broken(WorkerConnection& worker, std::string reason);
  void on_worker_overdue(WorkerConnection& worker, std::string reason);
  // The time-outs of a request in that worker: the route's, else the app's.
  RequestTimes times_of(const Exchange& exchange, const ipc::WorkerAdd& worker) const;

  // Something runs, or is going to.
  void watch_times();

  // At the end of a turn.
  void flush();

  AppMetrics& metrics() { return metrics_; }
  // Once a second.
  void sample_metrics() const;

  std::size_t queued() const { return queue_.size(); }
  std::size_t worker_count() const { return workers_.size(); }

  // A request of this app has ended, `took` after its first byte.
  void on_finished(Clock::duration took) {
    ++finished_;
    finished_time_ += took;
  }
  // What waits and runs now, for EdgeInspect; takes time in proportion to what runs.
  void add_to(ipc::EdgeReport& report) const;

 private:
  bool dispatch_one(Exchange& exchange);
  void dispatch_waiting();
  void check_progress();
  void watch_progress();
  void check_times();
  void expire_queue();
  void watch_deadline();
  void retire(WorkerConnection& worker);
  void report_if_idle(WorkerConnection& worker);
  void leave_if_done();

  EdgeServices& services_;
  const std::string name_;
  AppMetrics& metrics_;
  config::App app_;
  Events events_;
  ExchangeQueue queue_;
  std::vector<std::unique_ptr<WorkerConnection>> workers_;
  std::vector<const WorkerLoad*> loads_;  // of workers_, same order
  Timer progress_timer_;
  Timer times_timer_;
  config::Milliseconds times_period_;  // 0: no time-out is on
  Timer deadline_timer_;
  std::uint64_t next_arrival_ = 1;
  std::size_t turn_ = 0;
  std::uint64_t finished_ = 0;
  Clock::duration finished_time_{0};
  bool whole_requests_ = false;
  bool dispatching_ = false;
  bool leaving_ = false;  // configured no more
};

}  // namespace saola::proxy
