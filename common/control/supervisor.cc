#include "common/control/supervisor.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "common/config/config_loader.h"
#include "common/config/paths.h"
#include "common/control/cpu_quota.h"
#include "common/control/credentials.h"
#include "common/control/instance_lock.h"
#include "common/control/key_material.h"
#include "common/control/listen_sockets.h"
#include "common/control/log_files.h"
#include "common/control/process_launcher.h"
#include "common/control/process_setup.h"
#include "common/control/start_report.h"
#include "common/control/supervision.h"
#include "common/event/signal_watcher.h"

namespace saola::control {
namespace {

// docs/signals.md.
constexpr int kExitFailed = 1;
constexpr int kExitConfig = 4;

// A start that failed: its exit code, when everything has been told.
template <class T>
using Started = Result<T, int>;

class Supervisor {
 public:
  Supervisor(const SupervisorOptions& options, LogFiles logs)
      : config_(options.config),
        sink_(logs.error.get()),
        log_(sink_, "supervisor", config_.log.level),
        report_(log_, config_.log.error == "-") {
    files_.error_log = std::move(logs.error);
    files_.access_log = std::move(logs.access);
  }

  int run(std::uint64_t descriptors) {
    log_.info("saola {} starts (pid {}, {} processors, {} descriptors)", SAOLA_VERSION, ::getpid(),
              available_cpus(), descriptors);
    auto binary = ProcessLauncher::open_running_binary();
    if (!binary) return failed(kExitFailed, binary.error().message);
    auto credentials = resolve_credentials(config_.server.user, config_.server.group);
    if (!credentials) return failed(kExitConfig, credentials.error().message);
    if (::geteuid() == 0 && !credentials->change) {
      log_.warning("the application runs as root; set [server] user");
    }
    if (auto locked = take_locks(); !locked) return locked.error();
    auto sockets = open_sockets_and_keys(*credentials);
    if (!sockets) return sockets.error();
    auto scoreboard = make_files(*sockets);
    if (!scoreboard) return scoreboard.error();

    EventLoop loop;
    ProcessLauncher launcher(loop, *std::move(binary), *std::move(credentials));
    std::vector<std::string> addresses;
    for (const auto& socket : sockets->sockets()) addresses.push_back(socket.shown);
    Supervision supervision(loop, launcher, log_, report_, config_, files_, *scoreboard,
                            std::move(addresses), [&sockets] { sockets->close(); });
    const auto watchers = watch_signals(loop, supervision);
    supervision.start();
    return supervision.run();
  }

 private:
  int failed(int exit_code, const std::string& problem) const {
    report_.problem(problem);
    return exit_code;
  }

  // A pid file that was asked for must be there; the one in runtime_dir is a convenience.
  Started<void> take_locks() {
    const auto& server = config_.server;
    if (!server.runtime_dir.empty()) {
      const std::string directory = config::resolve_path(config_, server.runtime_dir);
      ::mkdir(directory.c_str(), 0755);  // fails if it is there; if it cannot be, the lock says why
      if (auto locked = take_lock(directory + "/saola.pid", server.pid_file.empty()); !locked) {
        return locked;
      }
    }
    if (server.pid_file.empty()) return {};
    return take_lock(config::resolve_path(config_, server.pid_file), false);
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

  // Reports what is wrong with either in one go.
  Started<ListenSockets> open_sockets_and_keys(const Credentials& credentials) {
    auto keys = read_key_material(config_);
    auto sockets = ListenSockets::open(config_, credentials);
    std::vector<std::string> problems;
    if (!keys) problems = keys.error();
    if (!sockets) {
      problems.insert(problems.end(), sockets.error().begin(), sockets.error().end());
    }
    for (const auto& problem : problems) report_.problem(problem);
    if (!problems.empty()) return Unexpected{keys ? kExitFailed : kExitConfig};
    for (const auto& warning : keys->warnings) log_.warning("{}", warning);

    auto start = ipc::make_memory_file(ipc::to_json(ipc::EdgeStart{
        config::print_config(config_, true), config_.directory, std::move(keys->pairs)}));
    if (!start) return Unexpected{failed(kExitFailed, start.error().message)};
    files_.edge_start = *std::move(start);
    return *std::move(sockets);
  }

  Started<ipc::Scoreboard> make_files(const ListenSockets& sockets) {
    for (const auto& socket : sockets.sockets()) files_.listeners.push_back(socket.fd.get());
    auto start = ipc::make_memory_file(
        ipc::to_json(ipc::WorkerStart{config::print_config(config_, true), config_.directory}));
    if (!start) return Unexpected{failed(kExitFailed, start.error().message)};
    files_.worker_start = *std::move(start);
    auto file = ipc::Scoreboard::create_file();
    if (!file) return Unexpected{failed(kExitFailed, file.error().message)};
    files_.scoreboard = *std::move(file);
    auto scoreboard = ipc::Scoreboard::map(files_.scoreboard);
    if (!scoreboard) return Unexpected{failed(kExitFailed, scoreboard.error().message)};
    return *std::move(scoreboard);
  }

  std::vector<std::unique_ptr<SignalWatcher>> watch_signals(EventLoop& loop,
                                                            Supervision& supervision) {
    std::vector<std::unique_ptr<SignalWatcher>> watchers;
    const auto on = [&watchers, &loop](int number, std::function<void()> action) {
      watchers.push_back(std::make_unique<SignalWatcher>(loop, number, std::move(action)));
    };
    on(SIGTERM, [&supervision] { supervision.stop("SIGTERM"); });
    on(SIGINT, [&supervision] { supervision.stop("SIGINT"); });
    on(SIGQUIT, [&supervision] { supervision.stop("SIGQUIT"); });
    on(SIGUSR1, [this, &supervision] { reopen_logs(supervision); });
    const auto not_yet = [this, &on](int number, const char* name, const char* what) {
      on(number, [this, name, what] {
        log_.warning("{}: {} is not available in this version", name, what);
      });
    };
    not_yet(SIGHUP, "SIGHUP", "reload");
    not_yet(SIGUSR2, "SIGUSR2", "binary upgrade");
    not_yet(SIGTTIN, "SIGTTIN", "one worker more");
    not_yet(SIGTTOU, "SIGTTOU", "one worker fewer");
    on(SIGWINCH, [] {});
    return watchers;
  }

  // New files under the old numbers: whoever holds the number goes on without knowing.
  void reopen_logs(Supervision& supervision) {
    auto opened = open_log_files(config_);
    if (!opened) {
      log_.error("SIGUSR1: the logs stay as they are: {}", opened.error().message);
      return;
    }
    const auto replace = [](const UniqueFd& old, const UniqueFd& fresh) {
      return !old || ::dup3(fresh.get(), old.get(), O_CLOEXEC) >= 0;
    };
    if (!replace(files_.error_log, opened->error) || !replace(files_.access_log, opened->access)) {
      log_.error("SIGUSR1: {}", system_error("replace a log", errno).message);
      return;
    }
    supervision.reopen_logs();
    log_.info("SIGUSR1: logs reopened");
  }

  const config::Config& config_;
  SupervisionFiles files_;
  DirectSink sink_;
  Logger log_;
  StartReport report_;
  std::vector<InstanceLock> locks_;
};

}  // namespace

int run_supervisor(const SupervisorOptions& options) {
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
    StartReport(log, true).problem(logs.error().message);
    return kExitConfig;
  }
  Supervisor supervisor(options, *std::move(logs));
  return supervisor.run(descriptors);
}

}  // namespace saola::control
