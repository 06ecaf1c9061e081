#include "common/control/predecessors.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "common/control/exit_status.h"

namespace saola::control {
namespace {

// What a worker gets to end when the edge has used up the whole time.
constexpr std::chrono::seconds kLastGrace{2};

}  // namespace

Predecessors::Predecessors(EventLoop& loop, Launcher& launcher, const Logger& log,
                           const std::vector<UpgradeState::Process>& processes,
                           std::function<void()> on_gone)
    : loop_(loop), log_(log), on_gone_(std::move(on_gone)) {
  for (const auto& process : processes) {
    auto child = std::make_unique<Child>(loop, launcher, log, static_cast<Child::Owner&>(*this),
                                         "old " + process.name, Clock::duration::zero());
    UniqueFd control(::fcntl(process.control, F_DUPFD_CLOEXEC, 3));
    if (!control) {
      log_.error("old {} (pid {}): {}", process.name, process.pid,
                 system_error("its control channel", errno).message);
      continue;
    }
    const auto adopted =
        child->adopt(process.pid, std::move(control), process.ready, Child::Origin::kForeign);
    if (!adopted) {
      log_.warning("old {} has gone: {}", process.name, adopted.error().message);
      continue;
    }
    all_.push_back({std::move(child), process.is_edge});
  }
}

bool Predecessors::has_edge() const {
  return std::any_of(all_.begin(), all_.end(), [](const One& one) { return one.is_edge; });
}

void Predecessors::leave(Clock::duration grace, std::chrono::milliseconds idle) {
  if (std::exchange(leaving_, true)) return;
  deadline_ = loop_.now() + grace;
  if (!has_edge()) return drain_workers();
  for (auto& one : all_) {
    if (one.is_edge) one.child->drain(deadline_, idle);
  }
}

void Predecessors::stop(Clock::duration grace) {
  leaving_ = true;
  for (auto& one : all_) one.child->stop(grace);
}

void Predecessors::drain_workers() {
  const auto deadline = std::max(deadline_, loop_.now() + kLastGrace);
  for (auto& one : all_) {
    if (!one.is_edge) one.child->drain(deadline);
  }
}

void Predecessors::child_said(Child& child, ipc::ControlMessage& message) {
  if (!leaving_ || !std::holds_alternative<ipc::Drained>(message)) return;
  const auto one = std::find_if(all_.begin(), all_.end(),
                                [&child](const One& o) { return o.child.get() == &child; });
  if (!one->is_edge) return;
  child.stop();
  drain_workers();
}

void Predecessors::child_exited(Child& child, int wait_status) {
  const auto found = std::find_if(all_.begin(), all_.end(),
                                  [&child](const One& one) { return one.child.get() == &child; });
  const bool asked = child.lifecycle().death(wait_status) == Death::kAsked;
  log_.write(asked ? LogLevel::kInfo : LogLevel::kWarning,
             fmt::format("{} (pid {}) has ended: {}", child.name(), child.pid(),
                         describe_exit(wait_status)));
  One gone = std::move(*found);
  all_.erase(found);
  loop_.delete_later(std::move(gone.child));
  if (gone.is_edge && leaving_ && !has_edge()) drain_workers();
  if (all_.empty()) on_gone_();
}

}  // namespace saola::control
