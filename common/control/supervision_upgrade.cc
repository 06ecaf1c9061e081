// Supervision, the part that gives the process to another binary, or has it from one.
//
//   USR2 -> the new binary is asked, as a child -> exec: the next image starts its own edge and
//   workers on the same sockets, beside the ones that serve -> ready: those drain
//
//   ... -> not ready: exec of the binary before, which goes on with the ones that serve
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "common/control/supervision.h"

namespace saola::control {

void Supervision::upgrade(Done done) {
  const auto refuse = [&](const std::string& why) { done(fail("no upgrade now: " + why)); };
  if (phase_ == Phase::kStarting) return refuse("the server is still starting");
  if (phase_ != Phase::kServing) return refuse("the server is stopping");
  if (reloads()) return refuse("a reload is under way");
  if (upgrading_) return refuse("one is under way");
  // The next image would be ready again.
  if (drained_) return refuse("the server has been told to drain");
  if (predecessors_) {
    return refuse(
        fmt::format("{} processes of the last one are still finishing", predecessors_->count()));
  }
  upgrading_ = true;
  log_.info("upgrade: asking the new binary");
  host_.check_binary(left_behind(), [this, done = std::move(done)](Result<UniqueFd> binary) {
    // What comes from now on waits for the next image. What has come is handled before: the loop
    // has noted it, and calls its handlers in the turn after this one.
    host_.hold_signals(true);
    successor_.emplace(Successor{std::move(binary), done});
    give_way_timer_.start(std::chrono::microseconds(0));
  });
}

void Supervision::on_give_way(void* self) {
  auto& supervision = *static_cast<Supervision*>(self);
  if (--supervision.successor_->turns_left > 0) {
    return supervision.give_way_timer_.start(std::chrono::microseconds(0));
  }
  supervision.upgrading_ = false;
  auto successor = *std::exchange(supervision.successor_, std::nullopt);
  const std::string why = supervision.give_way(std::move(successor.binary));
  supervision.host_.hold_signals(false);
  // The answer to success is that the connection ends.
  successor.done(fail(why));
}

// Returns only with the reason why the process is still ours.
std::string Supervision::give_way(Result<UniqueFd> binary) {
  const auto stays = [this](const std::string& why) {
    std::string problem = "the upgrade failed, nothing has changed: " + why;
    log_.write_block(LogLevel::kError, problem);
    return problem;
  };
  if (!binary) return stays(binary.error().message);
  if (phase_ != Phase::kServing) return stays("the server stops");
  if (reloads()) return stays("a reload is under way");
  log_.info("upgrade: the new binary takes over");
  return stays(host_.become(*binary, left_behind()).message);
}

UpgradeState Supervision::left_behind() const {
  UpgradeState state;
  state.last_generation = last_generation_;
  state.last_worker_id = numbers_.last_id();
  for (const auto& socket : generation_->sockets.sockets()) {
    state.listeners.push_back({socket->address, socket->fd.get(), socket->ipv6_only, socket->path,
                               socket->device, socket->inode, socket->inherited});
  }
  auto& service = state.service;
  service.generation = generation_->number;
  service.config_path = generation_->config.path;
  service.edge_start = generation_->edge_start.get();
  service.worker_start = generation_->worker_start.get();
  service.error_log = generation_->logs.error.get();
  service.access_log = generation_->logs.access.get();
  ground_.memory.leave_to(state);
  for (const auto& socket : generation_->admin_sockets.sockets()) {
    state.listeners.push_back({socket->address, socket->fd.get(), socket->ipv6_only, socket->path,
                               socket->device, socket->inode, socket->inherited});
  }
  admin_.leave_to(state);
  if (auto edge = edge_.process()) state.processes.push_back(*std::move(edge));
  for (const WorkerPool* pool : pools()) pool->leave_to(state);
  return state;
}

void Supervision::take_over(const UpgradeState& state) {
  taking_over_ = true;
  numbers_.skip_to(state.last_worker_id);
  watch_predecessors(state.processes);
}

void Supervision::watch_predecessors(const std::vector<UpgradeState::Process>& processes) {
  predecessors_ = std::make_unique<Predecessors>(loop_, ground_.launcher, log_, processes, [this] {
    log_.info("the processes from before the upgrade have ended");
    // In the middle of its own call.
    gone_timer_.start(std::chrono::microseconds(0));
  });
  if (predecessors_->empty()) predecessors_.reset();
}

void Supervision::on_predecessors_gone(void* self) {
  auto& supervision = *static_cast<Supervision*>(self);
  supervision.predecessors_.reset();
  supervision.finish_if_done();
}

// Everything of this image is ready, or it is to end: the one before will not come back.
void Supervision::end_takeover(Clock::duration grace) {
  if (!taking_over_) return;
  taking_over_ = false;
  if (start_problem_.empty()) metrics_.upgraded();
  start_problem_.clear();
  host_.taken_over();
  if (predecessors_) predecessors_->leave(grace, Predecessors::kIdleTime);
}

void Supervision::resume(const UpgradeState& state) {
  numbers_.skip_to(state.last_worker_id);
  last_generation_ = std::max(state.last_generation, last_generation_);
  phase_ = Phase::kServing;
  shown_ = true;
  const auto edge = std::find_if(state.processes.begin(), state.processes.end(),
                                 [](const auto& process) { return process.is_edge; });
  const bool has_edge = edge != state.processes.end() && edge_.adopt(*edge) && edge->ready;
  const auto gone = pool_->adopt(state);
  // What left already, or was about to start, does not serve: it ends.
  std::vector<UpgradeState::Process> others;
  for (const auto& process : state.processes) {
    if (process.is_edge) continue;
    const bool serves = std::any_of(state.service.workers.begin(), state.service.workers.end(),
                                    [&process](const auto& w) { return w.pid == process.pid; });
    if (!serves) others.push_back(process);
  }
  watch_predecessors(others);
  const auto& server = this->server();
  if (predecessors_) {
    predecessors_->leave(std::max(server.graceful_timeout, server.stream_drain_timeout),
                         Predecessors::kIdleTime);
  }
  for (const std::uint32_t id : gone) edge_.remove_worker(id);
  pool_->start();
  set_ready(true);
  metrics_.serves(generation_->number, generation_->config);
  metrics_.upgrade_failed();
  admin_.use(generation_);
  publish_timer_.start(kPublish);
  follow_the_load();
  host_.serving(pool_->describe());
  // Where `saola status` and `saola upgrade` look.
  last_reload_.emplace(std::chrono::steady_clock::now(),
                       fail("the upgrade failed, the old binary goes on: " + state.failure));
  if (has_edge) return;
  pool_->edge_lost();
  edge_.start();
}

}  // namespace saola::control
