#include "common/control/supervisor.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "common/config/log_plan.h"
#include "common/config/paths.h"
#include "common/control/binary_check.h"
#include "common/control/cpu_quota.h"
#include "common/control/credentials.h"
#include "common/control/daemon.h"
#include "common/control/generation.h"
#include "common/control/instance_lock.h"
#include "common/control/log_files.h"
#include "common/control/process_launcher.h"
#include "common/control/process_setup.h"
#include "common/control/runtime_files.h"
#include "common/control/service_manager.h"
#include "common/control/start_report.h"
#include "common/control/supervision.h"
#include "common/core/log_fan.h"
#include "common/event/signal_watcher.h"

namespace saola::control {
namespace {

// docs/signals.md.
constexpr int kExitFailed = 1;
constexpr int kExitConfig = 4;

// The supervisor's own log: what may wait for a slow reader, how often it is tried again, and how
// long a process that ends waits for it.
constexpr std::size_t kLogBytes = std::size_t{256} << 10;
constexpr std::chrono::milliseconds kLogPause{100};
constexpr std::chrono::milliseconds kLastLines{500};

// A start that failed: its exit code, when everything has been told.
template <class T>
using Started = Result<T, int>;

// Says to the service manager's watchdog, as often as that wants to hear it, that the loop runs.
class Watchdog {
 public:
  Watchdog(EventLoop& loop, ServiceManager& manager)
      : manager_(manager),
        timer_(
            loop, [](void* self) { static_cast<Watchdog*>(self)->be_alive(); }, this) {
    be_alive();
  }

 private:
  void be_alive() {
    const auto interval = manager_.watchdog_interval();
    if (!interval) return;
    manager_.alive();
    timer_.start(*interval);
  }

  ServiceManager& manager_;
  Timer timer_;
};

class Supervisor final : private SupervisionHost {
 public:
  Supervisor(const SupervisorOptions& options, LogFiles logs, UniqueFd starter)
      : options_(options),
        logs_(std::move(logs)),
        sink_(LogFan::Threads::kNone, kLogBytes),
        log_(sink_, "supervisor", options.config.log.level),
        report_(log_, options.config.log.error == "-", std::move(starter)),
        manager_(log_, ServiceManager::Environment::of_process()),
        handover_(options.handover),
        binary_path_(
            handover_ != nullptr
                ? handover_->state().binary_path
                : find_installed_binary(options.arguments.empty() ? "" : options.arguments[0])) {
    follow(options.config, logs_.error);
  }
  ~Supervisor() override { drain_log(); }
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;

  int run(std::uint64_t descriptors) {
    log_.info("saola {} starts (pid {}, {} processors, {} descriptors)", SAOLA_VERSION, ::getpid(),
              available_cpus(), descriptors);
    const config::Config& config = options_.config;
    auto binary = ProcessLauncher::open_running_binary();
    if (!binary) return failed(kExitFailed, binary.error().message);
    auto this_binary = ProcessLauncher::open_running_binary();
    if (!this_binary) return failed(kExitFailed, this_binary.error().message);
    this_binary_ = *std::move(this_binary);
    auto credentials = resolve_credentials(config.server.user, config.server.group);
    if (!credentials) return failed(kExitConfig, credentials.error().message);
    credentials_ = *credentials;
    if (::geteuid() == 0 && !credentials_.change) {
      log_.warning("the application runs as root; set [server] user");
    }
    if (handover_ != nullptr) locks_ = handover_->locks();
    if (auto locked = take_locks(config); !locked) return locked.error();
    auto first = first_generation();
    if (!first) return first.error();
    committed(**first);
    for (const auto& warning : (*first)->warnings) log_.warning("{}", warning);
    auto memory = handover_ != nullptr ? SharedMemory::adopt(handover_->state(), resumes())
                                       : SharedMemory::create();
    if (!memory) return failed(kExitFailed, memory.error().message);

    EventLoop loop;
    Timer patience(
        loop, [](void* self) { static_cast<Supervisor*>(self)->sink_.flush(); }, this);
    loop.at_end_of_turn([this, &patience] {
      if (sink_.waiting() && !patience.active()) patience.start(kLogPause);
    });
    ProcessLauncher launcher(loop, *std::move(binary), credentials_);
    upgrade_.emplace(loop, launcher);
    Supervision supervision(loop, launcher, log_, report_, *memory, *std::move(first), *this);
    const auto watchers = watch_signals(loop, supervision);
    RuntimeFiles files(loop, log_, supervision, config, locks_);
    Watchdog watchdog(loop, manager_);
    begin(supervision);
    const int exit_code = supervision.run();
    if (!supervision.start_problem().empty()) failure_ = supervision.start_problem();
    upgrade_.reset();
    return exit_code;
  }

  // Who has not heard yet what came of the start.
  UniqueFd take_starter() { return report_.take_starter(); }

  // What waits does not survive the end of this image.
  void drain_log() { sink_.drain(kLastLines); }

  // What the image before is told when this one could not take over.
  const std::string& failure() const { return failure_; }

 private:
  int failed(int exit_code, const std::string& problem) {
    report_.problem(problem);
    failure_ += problem + "\n";
    return exit_code;
  }

  bool resumes() const { return handover_ != nullptr && handover_->resumes(); }

  void begin(Supervision& supervision) {
    if (resumes()) {
      log_.write_block(LogLevel::kError,
                       "the upgrade failed, the old binary goes on: " + handover_->state().failure);
      supervision.resume(handover_->state());
      taken_over();
    } else {
      if (handover_ != nullptr) supervision.take_over(handover_->state());
      supervision.start();
    }
    if (handover_ != nullptr) Handover::accept_signals();
  }

  Started<std::shared_ptr<Generation>> first_generation() {
    if (resumes()) {
      auto left = handover_->generation(credentials_);
      if (!left) return Unexpected{failed(kExitFailed, left.error().message)};
      return *std::move(left);
    }
    std::uint32_t number = 1;
    if (handover_ != nullptr) {
      number = handover_->state().last_generation + 1;
      before_.sockets = handover_->listeners();
      before_.admin_sockets = before_.sockets;
    }
    auto first = make_generation(number, options_.config, credentials_, &before_);
    if (!first) {
      for (const auto& problem : first.error().texts) failed(kExitFailed, problem);
      return Unexpected{first.error().configuration ? kExitConfig : kExitFailed};
    }
    (*first)->logs = std::move(logs_);
    return *std::move(first);
  }

  void check_binary(UpgradeState state,
                    std::function<void(Result<UniqueFd> binary)> done) override {
    upgrade_->check(complete(std::move(state)), options_.arguments, std::move(done));
  }

  Error become(const UniqueFd& binary, UpgradeState state) override {
    drain_log();
    return hand_over(binary, options_.arguments, complete(std::move(state)));
  }

  void hold_signals(bool hold) override {
    if (hold) return Handover::hold_signals();
    Handover::accept_signals();
  }

  void taken_over() override {
    before_.admin_sockets.close();
    before_.sockets.close();
    if (handover_ != nullptr) handover_->settle();
  }

  UpgradeState complete(UpgradeState state) const {
    state.binary_path = binary_path_;
    state.binary = this_binary_.get();
    state.daemon = options_.daemon;
    for (const auto& lock : locks_) state.locks.push_back({lock.path(), lock.fd()});
    return state;
  }

  // A pid file that was asked for must be there; the one in runtime_dir is a convenience.
  Started<void> take_locks(const config::Config& config) {
    const auto& server = config.server;
    if (!server.runtime_dir.empty()) {
      const std::string directory = config::resolve_path(config, server.runtime_dir);
      RuntimeFiles::make_runtime_directory(config);  // if it cannot be, the lock says why
      if (auto locked = take_lock(directory + "/saola.pid", server.pid_file.empty()); !locked) {
        return locked;
      }
    }
    if (server.pid_file.empty()) return {};
    return take_lock(config::resolve_path(config, server.pid_file), false);
  }

  Started<void> take_lock(const std::string& path, bool may_fail) {
    for (const auto& held : locks_) {
      if (held.path() == path) return {};
    }
    auto lock = InstanceLock::acquire(path);
    if (lock) {
      locks_.push_back(*std::move(lock));
      return {};
    }
    if (lock.error().code == EWOULDBLOCK || !may_fail) {
      return Unexpected{failed(kExitFailed, lock.error().message)};
    }
    log_.warning("no pid file: {}", lock.error().message);
    return {};
  }

  std::vector<std::unique_ptr<SignalWatcher>> watch_signals(EventLoop& loop,
                                                            Supervision& supervision) {
    std::vector<std::unique_ptr<SignalWatcher>> watchers;
    const auto on = [&watchers, &loop](int number, std::function<void()> action) {
      watchers.push_back(std::make_unique<SignalWatcher>(loop, number, std::move(action)));
    };
    on(SIGTERM, [&supervision] { supervision.begin_stop("SIGTERM"); });
    on(SIGINT, [&supervision] { supervision.begin_stop("SIGINT"); });
    on(SIGQUIT, [&supervision] { supervision.begin_stop("SIGQUIT"); });
    on(SIGHUP, [this, &supervision] {
      supervision.reload(false, [this](const Result<std::string>& outcome) {
        log_.info("SIGHUP: {}", outcome ? "reloaded" : "not reloaded");
      });
    });
    on(SIGUSR1, [this, &supervision] {
      const auto reopened = supervision.reopen_logs();
      if (reopened) {
        log_.info("SIGUSR1: logs reopened");
      } else {
        log_.error("SIGUSR1: the logs stay as they are: {}", reopened.error().message);
      }
    });
    on(SIGUSR2, [this, &supervision] {
      supervision.upgrade([this](const Result<std::string>& outcome) {
        if (!outcome) log_.info("SIGUSR2: not upgraded");
      });
    });
    on(SIGTTIN, [&supervision] { supervision.scale_by(1); });
    on(SIGTTOU, [&supervision] { supervision.scale_by(-1); });
    on(SIGWINCH, [this, &supervision] {
      if (options_.daemon) return supervision.rest();
      log_.debug("SIGWINCH: ignored, the server is not in the background");
    });
    return watchers;
  }

  Result<std::shared_ptr<Generation>> next_generation(std::uint32_t number,
                                                      const Generation& now) override {
    auto config = options_.load();
    if (!config) return Unexpected{std::move(config).error()};
    std::vector<std::string> problems = needs_restart(now.config, *config);
    if (problems.empty()) {
      auto logs = open_log_files(*config);
      if (!logs) return Unexpected{std::move(logs).error()};
      auto made = make_generation(number, *std::move(config), credentials_, &now);
      if (made) {
        (*made)->logs = *std::move(logs);
        return *std::move(made);
      }
      problems = std::move(made.error().texts);
    }
    return fail(fmt::format("{}", fmt::join(problems, "\n")));
  }

  void committed(const Generation& now) override {
    follow(now.config, now.logs.error);
    log_.set_level(now.config.log.level);
    log_.set_generation(now.number);
  }

  void serving(const std::string& what) override {
    manager_.ready(what);
    report_.outcome(0);
  }
  void reloading() override { manager_.reloading("reloading"); }
  void stopping(Clock::duration at_most) override {
    manager_.stopping("stopping");
    manager_.extend_timeout(std::chrono::ceil<std::chrono::microseconds>(at_most));
  }

  // New files under the old numbers: whoever holds the number goes on without knowing.
  Result<void> reopen_logs(const Generation& now) override {
    auto opened = open_log_files(now.config);
    if (!opened) return Unexpected{std::move(opened).error()};
    const auto replace = [](const UniqueFd& old, const UniqueFd& fresh) {
      return !old || ::dup3(fresh.get(), old.get(), O_CLOEXEC) >= 0;
    };
    if (!replace(now.logs.error, opened->error) || !replace(now.logs.access, opened->access)) {
      return Unexpected{system_error("replace a log", errno)};
    }
    sink_.reopen(copy_of(now.logs.error));
    return {};
  }

  static UniqueFd copy_of(const UniqueFd& fd) {
    return UniqueFd(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 3));
  }

  // This process's own log goes where the configuration says.
  void follow(const config::Config& config, const UniqueFd& error) {
    sink_.plan(config::error_log_plan(config.log), copy_of(error), false);
  }

  const SupervisorOptions& options_;
  LogFiles logs_;  // until the first generation has them
  Credentials credentials_;
  LogFan sink_;
  Logger log_;
  StartReport report_;
  ServiceManager manager_;
  std::vector<InstanceLock> locks_;
  // Upgrades (upgrade_handover.h).
  Handover* const handover_;
  const std::string binary_path_;
  UniqueFd this_binary_;
  Generation before_;  // the sockets of the image before, as long as it may come back
  std::optional<BinaryCheck> upgrade_;
  std::string failure_;
};

}  // namespace

int run_supervisor(const SupervisorOptions& options, UniqueFd starter) {
  open_standard_descriptors();
  close_inherited_descriptors_on_exec();
  ::umask(static_cast<mode_t>(options.config.server.umask));
  // A reader of our log that has gone is an error to count, not a reason to die.
  ::signal(SIGPIPE, SIG_IGN);
  const std::uint64_t descriptors = raise_descriptor_limit();
  auto logs = open_log_files(options.config);
  if (!logs) {
    DirectSink standard_error(STDERR_FILENO);
    const Logger log(standard_error, "supervisor", LogLevel::kInfo);
    StartReport report(log, true, std::move(starter));
    report.problem(logs.error().message);
    report.outcome(kExitConfig);
    return kExitConfig;
  }
  std::optional<Supervisor> supervisor;
  supervisor.emplace(options, *std::move(logs), std::move(starter));
  const int exit_code = supervisor->run(descriptors);
  // The locks and the sockets of the image before are still held: it finds everything in its place.
  if (options.handover != nullptr && options.handover->may_give_back()) {
    supervisor->drain_log();
    return options.handover->give_back(options.arguments, supervisor->failure(), exit_code);
  }
  const UniqueFd waiting = supervisor->take_starter();
  supervisor.reset();
  // Now: it may start the next one, which needs the pid file.
  if (waiting) tell_starter(waiting, exit_code);
  return exit_code;
}

int run_in_background(const SupervisorOptions& options, bool keeps_output) {
  auto detached = detach(keeps_output);
  if (!detached) {
    DirectSink standard_error(STDERR_FILENO);
    const Logger log(standard_error, "supervisor", LogLevel::kInfo);
    StartReport(log, true).problem(detached.error().message);
    return kExitFailed;
  }
  if (detached->is_starter) return await_server(detached->pipe, STDERR_FILENO);
  return run_supervisor(options, std::move(detached->pipe));
}

}  // namespace saola::control
