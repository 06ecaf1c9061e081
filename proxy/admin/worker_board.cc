#include "proxy/admin/worker_board.h"

#include <algorithm>
#include <utility>

#include "proxy/admin/process_sample.h"

namespace saola::proxy {
namespace {

using ipc::WorkerPhase;

double seconds(std::uint64_t nanoseconds) { return static_cast<double>(nanoseconds) * 1e-9; }

double silence(std::uint64_t since_ns, Clock::time_point now) {
  const auto now_ns =
      static_cast<std::uint64_t>(std::chrono::nanoseconds(now.time_since_epoch()).count());
  return since_ns >= now_ns ? 0 : seconds(now_ns - since_ns);
}

}  // namespace

const char* to_string(WorkerPhase phase) {
  switch (phase) {
    case WorkerPhase::kBooting:
      return "booting";
    case WorkerPhase::kReady:
      return "ready";
    case WorkerPhase::kDraining:
      return "draining";
    case WorkerPhase::kEmpty:
    case WorkerPhase::kExited:
      break;
  }
  return "gone";
}

WorkerBoard::WorkerBoard(ipc::Scoreboard board, const std::vector<std::string>& apps)
    : board_(std::move(board)) {
  for (const std::string& app : apps) apps_[ipc::app_hash(app)] = app;
}

std::vector<WorkerView> WorkerBoard::workers() {
  std::vector<WorkerView> out;
  const auto used = std::min<std::size_t>(board_.server().slots_used, ipc::Scoreboard::kSlots);
  for (std::size_t i = 0; i < used; ++i) {
    const ipc::WorkerSlot& slot = board_.slot(i);
    const auto phase = static_cast<WorkerPhase>(slot.phase.load());
    if (phase != WorkerPhase::kBooting && phase != WorkerPhase::kReady &&
        phase != WorkerPhase::kDraining) {
      continue;
    }
    const auto app = apps_.find(slot.app);
    out.push_back({app == apps_.end() ? "?" : app->second, slot.worker_id,
                   static_cast<pid_t>(slot.pid.load()), slot.generation, phase,
                   slot.requests_started, slot.requests_finished, slot.heartbeat_ns,
                   slot.loop_turn_ns, slot.started_ns, slot.gc_ns, slot.gc_collections,
                   slot.slots});
  }
  std::sort(out.begin(), out.end(),
            [](const WorkerView& a, const WorkerView& b) { return a.id < b.id; });
  return out;
}

void WorkerBoard::add_worker(Families& families, const WorkerView& worker, Clock::time_point now) {
  const Labels labels = {{"app", worker.app}, {"worker", std::to_string(worker.id)}};
  const auto add = [&](const char* name, double value) { families.add(name, labels, value); };
  add("saola_worker_requests_total", static_cast<double>(worker.finished));
  const std::uint64_t running =
      worker.started > worker.finished ? worker.started - worker.finished : 0;
  add("saola_worker_running_requests", static_cast<double>(running));
  if (worker.slots > 0) add("saola_worker_slots", static_cast<double>(worker.slots));
  add("saola_worker_gc_seconds_total", seconds(worker.gc_ns));
  add("saola_worker_gc_collections_total", static_cast<double>(worker.gc_collections));
  add("saola_worker_generation", worker.generation);
  add("saola_worker_start_time_seconds", seconds(worker.started_ns));
  if (worker.heartbeat_ns > 0) {
    add("saola_worker_silence_seconds", silence(worker.heartbeat_ns, now));
  }
  if (worker.loop_turn_ns > 0) {
    add("saola_worker_loop_silence_seconds", silence(worker.loop_turn_ns, now));
  }
  if (worker.pid <= 0) return;
  const auto sample = sample_process(worker.pid);
  if (!sample) return;
  add("saola_worker_resident_memory_bytes", static_cast<double>(sample->resident_bytes));
  auto& memory = memory_[worker.id];
  if (now - memory.sampled >= kMemoryInterval || memory.sampled == Clock::time_point()) {
    memory = {now, proportional_memory(worker.pid)};
  }
  if (memory.bytes) {
    add("saola_worker_proportional_memory_bytes", static_cast<double>(*memory.bytes));
  }
  const auto cpu = [&](const char* mode, double value) {
    families.add("saola_worker_cpu_seconds_total", {labels[0], labels[1], {"mode", mode}}, value);
  };
  cpu("user", sample->user_seconds);
  cpu("system", sample->system_seconds);
}

void WorkerBoard::add_to(Families& families, Clock::time_point now) {
  const auto all = workers();
  std::map<std::pair<std::string, WorkerPhase>, int> counts;
  for (const auto& [hash, app] : apps_) {
    for (const auto phase : {WorkerPhase::kBooting, WorkerPhase::kReady, WorkerPhase::kDraining}) {
      counts[{app, phase}] = 0;
    }
  }
  for (const WorkerView& worker : all) {
    ++counts[{worker.app, worker.phase}];
    add_worker(families, worker, now);
  }
  for (const auto& [key, count] : counts) {
    families.add("saola_workers", {{"app", key.first}, {"state", to_string(key.second)}}, count);
  }
  std::erase_if(memory_, [&all](const auto& one) {
    return std::none_of(all.begin(), all.end(),
                        [&one](const WorkerView& worker) { return worker.id == one.first; });
  });
}

}  // namespace saola::proxy
