// The records of WorkerPool; for its own files alone.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "common/control/worker_pool.h"

namespace saola::control {

struct WorkerPool::Seat {
  Seat(WorkerPool& owner, App& of)
      : pool(owner), app(of), timer(owner.loop_, on_seat_timer, this) {}
  WorkerPool& pool;
  App& app;
  RestartPolicy policy;
  Timer timer;
  WorkerProcess* worker = nullptr;            // null: none, or the timer runs
  WorkerProcess* successor = nullptr;         // boots beside it
  LeaveReason replaces = LeaveReason::kNone;  // why the worker is to leave once it is replaced
};

struct WorkerPool::App {
  std::string name;
  const config::App* settings = nullptr;
  AppCounters* counters = nullptr;
  std::string interface;  // found by the first worker that was ready
  bool ever_ready = false;
  std::string last_reason;               // of a BootFailed: a crash loop shows its traceback once
  std::unique_ptr<ZygoteKeeper> zygote;  // null: each worker imports the app itself
  std::vector<std::unique_ptr<Seat>> seats;
};

}  // namespace saola::control
