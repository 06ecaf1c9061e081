#include "common/control/worker_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <random>
#include <utility>

#include "common/ipc/claim_table.h"

namespace saola::control {
namespace {

// A stream socket's bytes are charged to its sender alone, so this is all that can be unsent in one
// direction: a few of the largest frames, so that bodies flow at memory speed, and little enough
// that a head behind them waits for microseconds. The kernel doubles it for its own bookkeeping and
// caps it at net.core.wmem_max.
constexpr int kWireSendBuffer = 256 * 1024;

// Slots that the edge finds free while the frames that end earlier requests are still under way.
constexpr std::size_t kSpareSlots = 16;

std::size_t claim_slots(const config::App& app) {
  // Which of the two counts is known only once the app is loaded.
  const auto at_once = static_cast<std::size_t>(std::max({app.threads, app.concurrency, 1}));
  const auto ahead = static_cast<std::size_t>(std::max(app.prefetch, 0));
  return std::min(std::bit_ceil(at_once + ahead + kSpareSlots), ipc::ClaimTable::kMaxSlots);
}

double random_share() {
  static std::minstd_rand numbers{std::random_device{}()};
  return std::uniform_real_distribution<double>(0.0, 1.0)(numbers);
}

}  // namespace

Result<std::unique_ptr<WorkerProcess>> WorkerProcess::launch(const WorkerGround& ground,
                                                             const Generation& generation,
                                                             const std::string& app,
                                                             Child::Owner& owner,
                                                             ZygoteKeeper* zygote) {
  const auto slot = ground.numbers.take_slot();
  if (!slot) return fail("too many workers at once");
  const config::App& settings = generation.config.apps.at(app);
  std::unique_ptr<WorkerProcess> worker(new WorkerProcess(ground, *slot));
  worker->id_ = ground.numbers.next_id();
  worker->claim_slots_ = claim_slots(settings);
  worker->policy = RecyclePolicy(settings, random_share());
  auto theirs = worker->make_wire();
  if (!theirs) return Unexpected{std::move(theirs).error()};
  const auto app_metrics = ground.memory.app_metrics(app, settings.metrics_memory);
  if (!app_metrics) return Unexpected{app_metrics.error()};
  worker->clear_record(generation.number, app);

  const std::string name = fmt::format("worker {} {}", app, worker->id_);
  std::string title = "saola: " + name;
  if (!settings.process_name.empty()) title += " [" + settings.process_name + "]";
  worker->child_ = std::make_unique<Child>(ground.loop, ground.launcher, ground.log, owner, name,
                                           settings.boot_timeout);
  if (auto launched = worker->start(title, zygote); !launched) {
    worker->mark_exited();
    return Unexpected{std::move(launched).error()};
  }
  worker->facts_ = {worker->id_, generation.number, 0, *slot, app};
  if (worker->child_->born()) worker->set_born();
  worker->child_->send(
      ipc::WorkerInit{worker->id_, generation.number, *slot, app},
      {generation.worker_start.get(), theirs->get(), worker->ends_.claims.get(),
       ground.memory.scoreboard_file().get(), generation.logs.error.get(), *app_metrics});
  return worker;
}

Result<void> WorkerProcess::start(const std::string& title, ZygoteKeeper* zygote) {
  if (zygote == nullptr) return child_->launch(title, "worker");
  const auto theirs = child_->expect();
  if (!theirs) return Unexpected{theirs.error()};
  zygote->fork(title, theirs->get());
  return {};
}

Result<std::unique_ptr<WorkerProcess>> WorkerProcess::adopt(const WorkerGround& ground,
                                                            const Generation& generation,
                                                            const UpgradeState::Worker& left,
                                                            int control, Child::Owner& owner) {
  if (!ground.numbers.take_slot(left.scoreboard_slot)) return fail("its slot is taken");
  const config::App& settings = generation.config.apps.at(left.app);
  std::unique_ptr<WorkerProcess> worker(new WorkerProcess(ground, left.scoreboard_slot));
  worker->id_ = left.id;
  worker->claim_slots_ = claim_slots(settings);
  worker->policy = RecyclePolicy(settings, random_share());
  worker->child_ = std::make_unique<Child>(ground.loop, ground.launcher, ground.log, owner,
                                           fmt::format("worker {} {}", left.app, left.id),
                                           settings.boot_timeout);
  UniqueFd channel(::fcntl(control, F_DUPFD_CLOEXEC, 3));
  if (!channel) return Unexpected{system_error("its control channel", errno)};
  auto adopted = worker->child_->adopt(left.pid, std::move(channel), true, Child::Origin::kOurs);
  if (!adopted) {
    worker->mark_exited();
    return Unexpected{std::move(adopted).error()};
  }
  worker->facts_ = {left.id, generation.number, static_cast<std::uint32_t>(left.pid),
                    left.scoreboard_slot, left.app};
  ipc::Ready ready;
  ready.interface = left.interface;
  worker->set_ready(ready, left.slots);
  return worker;
}

WorkerProcess::~WorkerProcess() { ground_.numbers.give_back_slot(slot_); }

// Makes both ends and the claim table; returns the worker's end.
Result<UniqueFd> WorkerProcess::make_wire() {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()) != 0) {
    return Unexpected{system_error("make a wire socket pair", errno)};
  }
  UniqueFd theirs(ends[1]);
  ends_.wire = UniqueFd(ends[0]);
  for (const int end : ends) {
    // Refused: the default works, with more turns for large bodies.
    ::setsockopt(end, SOL_SOCKET, SO_SNDBUF, &kWireSendBuffer, sizeof kWireSendBuffer);
  }
  auto claims = ipc::ClaimTable::create_file(claim_slots_);
  if (!claims) return Unexpected{std::move(claims).error()};
  ends_.claims = *std::move(claims);
  return theirs;
}

void WorkerProcess::clear_record(std::uint32_t generation, const std::string& app) {
  auto& used = ground_.memory.scoreboard().server().slots_used;
  if (used <= slot_) used = slot_ + 1;
  auto& record = ground_.memory.scoreboard().slot(slot_);
  record.pid = 0;
  record.worker_id = id_;
  record.generation = generation;
  record.heartbeat_ns = 0;
  record.loop_turn_ns = 0;
  record.requests_started = 0;
  record.requests_finished = 0;
  record.gc_ns = 0;
  record.gc_collections = 0;
  record.slots = 0;
  record.app = ipc::app_hash(app);
  record.started_ns = static_cast<std::uint64_t>(
      std::chrono::nanoseconds(std::chrono::system_clock::now().time_since_epoch()).count());
  record.phase = static_cast<std::uint32_t>(ipc::WorkerPhase::kBooting);
}

void WorkerProcess::mark_exited() {
  ground_.memory.scoreboard().slot(slot_).phase =
      static_cast<std::uint32_t>(ipc::WorkerPhase::kExited);
}

void WorkerProcess::set_ready(const ipc::Ready& ready, std::uint32_t slots) {
  facts_.slots = slots;
  ground_.memory.scoreboard().slot(slot_).slots = slots;
  facts_.whole_requests = ready.interface == "wsgi";
  ready_at = ground_.loop.now();
}

Result<WorkerProcess::EdgeEnds> WorkerProcess::take_edge_ends() {
  if (!ends_.wire) {
    auto theirs = make_wire();
    if (!theirs) return Unexpected{std::move(theirs).error()};
    child_->send(ipc::WorkerRewire{}, {theirs->get(), ends_.claims.get()});
  }
  return std::move(ends_);
}

std::uint64_t WorkerProcess::running() const {
  const std::uint64_t started = record().requests_started;
  const std::uint64_t finished = record().requests_finished;
  // The worker wrote these; what makes no sense is not shown.
  const bool sensible = started > finished && started - finished <= ipc::ClaimTable::kMaxSlots;
  return sensible ? started - finished : 0;
}

}  // namespace saola::control
