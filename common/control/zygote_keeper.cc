#include "common/control/zygote_keeper.h"

#include <fmt/format.h>

#include <csignal>
#include <utility>

#include "common/control/exit_status.h"

namespace saola::control {
namespace {

double seconds(Clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

// The workers are given their titles in the memory that this one has: with the generation it is
// longer than any of theirs ("saola: worker app 4294967295 [shop]").
std::string title_of(const std::string& app, const config::App& settings,
                     std::uint32_t generation) {
  std::string title = fmt::format("saola: zygote {}, generation {}", app, generation);
  if (!settings.process_name.empty()) title += " [" + settings.process_name + "]";
  return title;
}

}  // namespace

ZygoteKeeper::ZygoteKeeper(EventLoop& loop, Launcher& launcher, const Logger& log,
                           SharedMemory& memory, std::shared_ptr<const Generation> generation,
                           std::string app, Observer& observer)
    : loop_(loop),
      launcher_(launcher),
      log_(log),
      memory_(memory),
      generation_(std::move(generation)),
      app_(std::move(app)),
      settings_(generation_->config.apps.at(app_)),
      observer_(observer),
      restart_(loop, on_restart, this) {}

void ZygoteKeeper::start() {
  if (child_ != nullptr || restart_.active() || leaving_) return;
  told_ = false;
  const auto metrics = memory_.app_metrics(app_, settings_.metrics_memory);
  if (!metrics) return cannot_start(metrics.error().message);
  child_ = std::make_unique<Child>(loop_, launcher_, log_, static_cast<Child::Owner&>(*this),
                                   "zygote " + app_, settings_.boot_timeout);
  const std::string title = title_of(app_, settings_, generation_->number);
  if (auto launched = child_->launch(title, "zygote", true); !launched) {
    child_.reset();
    return cannot_start(launched.error().message);
  }
  child_->send(ipc::ZygoteInit{app_},
               {generation_->worker_start.get(), generation_->logs.error.get(), *metrics});
}

void ZygoteKeeper::cannot_start(const std::string& why) {
  const std::string reason = "cannot start a zygote: " + why;
  try_again(Death::kBeforeReady, Clock::duration::zero(),
            fmt::format("app '{}': {}", app_, reason));
  observer_.zygote_failed(app_, reason, false, policy_.failures());
}

bool ZygoteKeeper::ready() const {
  return child_ != nullptr && child_->lifecycle().state() == WorkerState::kReady;
}

void ZygoteKeeper::fork(const std::string& title, int control) {
  SAOLA_CHECK(ready());
  child_->send(ipc::ZygoteFork{title}, {control});
}

void ZygoteKeeper::replace(const std::string& why) {
  if (ready()) child_->kill(why);
}

void ZygoteKeeper::stop(Clock::duration grace) {
  leaving_ = true;
  restart_.cancel();
  if (child_ == nullptr) return;
  child_->stop(grace);
  launcher_.send_signal(child_->pid(), SIGTERM);  // it may be in the middle of the import
}

void ZygoteKeeper::reopen_logs() {
  if (child_ != nullptr) child_->send(ipc::ReopenLogs{false}, {generation_->logs.error.get()});
}

void ZygoteKeeper::child_said(Child& child, ipc::ControlMessage& message) {
  if (std::holds_alternative<ipc::Ready>(message)) {
    log_.info("{} (pid {}) has imported the app after {:.2f} s", child.name(), child.pid(),
              seconds(loop_.now() - child.started_at()));
    return observer_.zygote_ready(app_);
  }
  if (const auto* failed = std::get_if<ipc::BootFailed>(&message)) {
    if (child.lifecycle().state() != WorkerState::kBooting) return;
    told_ = true;
    return observer_.zygote_failed(app_, failed->reason, failed->application,
                                   policy_.failures() + 1);
  }
  child.give_up("sent a message that is not a zygote's", Child::kBrokenGrace);
}

void ZygoteKeeper::child_exited(Child& child, int wait_status) {
  const auto& lifecycle = child.lifecycle();
  const Death death = lifecycle.death(wait_status);
  const bool was_ready = lifecycle.was_ready();
  const auto served = lifecycle.served();
  const std::string how = describe_exit(wait_status);
  const std::string who = fmt::format("{} (pid {})", child.name(), child.pid());
  loop_.delete_later(std::move(child_));
  if (leaving_) {
    log_.info("{} has ended", who);
    return observer_.zygote_gone();
  }
  const char* what = was_ready ? "died; the workers are not harmed" : "died before it could fork";
  try_again(death, served, fmt::format("{} {}: {}", who, what, how));
  if (!was_ready && !told_) {
    observer_.zygote_failed(app_, "its zygote died while it imported the app: " + how, false,
                            policy_.failures());
  }
}

void ZygoteKeeper::try_again(Death death, Clock::duration served, const std::string& what) {
  const auto wait = policy_.on_death(death, served);
  const std::string next =
      wait == Clock::duration::zero() ? "at once" : fmt::format("in {:.1f} s", seconds(wait));
  log_.error("{}; a new one starts {}", what, next);
  restart_.start(std::chrono::ceil<std::chrono::microseconds>(wait));
}

void ZygoteKeeper::on_restart(void* self) { static_cast<ZygoteKeeper*>(self)->start(); }

}  // namespace saola::control
