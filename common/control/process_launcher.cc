#include "common/control/process_launcher.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <utility>
#include <vector>

#include "common/control/service_manager.h"

namespace saola::control {
namespace {

constexpr std::string_view kRoleVariable = "SAOLA_ROLE=";

// The steps of a child between fork and exec, in their order.
enum class Step : std::uint8_t {
  kGroup,
  kInput,
  kInherit,
  kGroups,
  kGid,
  kUid,
  kDeathSignal,
  kPrivileges,
  kExec,
};

const char* describe(Step step) {
  switch (step) {
    case Step::kGroup:
      return "make a process group";
    case Step::kInput:
      return "open /dev/null as standard input";
    case Step::kInherit:
      return "hand over the control channel";
    case Step::kGroups:
      return "set the supplementary groups";
    case Step::kGid:
      return "change the group";
    case Step::kUid:
      return "change the user";
    case Step::kDeathSignal:
      return "ask for a signal when the supervisor dies";
    case Step::kPrivileges:
      return "give up new privileges";
    case Step::kExec:
      return "execute the running binary again";
  }
  SAOLA_UNREACHABLE();
}

// What the child sends through the pipe that exec closes.
struct Failure {
  Step step;
  int reason;
};

// Everything a child needs, made before the fork: after it, nothing allocates.
struct Plan {
  pid_t parent;
  int binary;
  int null;
  int control;
  int report;
  const Credentials* credentials;
  char* const* argv;
  char* const* envp;
};

[[noreturn]] void give_up(const Plan& plan, Step step) {
  const Failure failure{step, errno};
  [[maybe_unused]] const auto sent = ::write(plan.report, &failure, sizeof failure);
  ::_exit(127);
}

void reset_signals() {
  struct sigaction plain {};
  plain.sa_handler = SIG_DFL;
  // Two numbers are the C library's own; it refuses them.
  for (int number = 1; number < NSIG; ++number) ::sigaction(number, &plain, nullptr);
  plain.sa_handler = SIG_IGN;
  ::sigaction(SIGPIPE, &plain, nullptr);
}

// The system calls are made directly: the C library's functions want to tell other threads, and
// there are none in a forked child.
void change_credentials(const Plan& plan) {
  const Credentials& wanted = *plan.credentials;
  if (!wanted.change) return;
  if (::syscall(SYS_setgroups, wanted.groups.size(), wanted.groups.data()) != 0) {
    give_up(plan, Step::kGroups);
  }
  if (::syscall(SYS_setresgid, wanted.gid, wanted.gid, wanted.gid) != 0) give_up(plan, Step::kGid);
  if (::syscall(SYS_setresuid, wanted.uid, wanted.uid, wanted.uid) != 0) give_up(plan, Step::kUid);
}

// Runs in the child. Only async-signal-safe calls.
[[noreturn]] void become_child(const Plan& plan) {
  if (::setpgid(0, 0) != 0) give_up(plan, Step::kGroup);
  if (::dup2(plan.null, STDIN_FILENO) < 0) give_up(plan, Step::kInput);
  // All of ours are close-on-exec already; this is for any that slipped through. Kernels
  // before 5.11 have no such flag.
  ::syscall(SYS_close_range, 3U, ~0U, CLOSE_RANGE_CLOEXEC);
  if (::fcntl(plan.control, F_SETFD, 0) != 0) give_up(plan, Step::kInherit);
  change_credentials(plan);
  // After the change of user, which clears it. The parent may be gone before the call.
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) give_up(plan, Step::kDeathSignal);
  if (::getppid() != plan.parent) ::_exit(127);
  // Capabilities given to the supervisor (to bind a low port) are not the application's.
  ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) give_up(plan, Step::kPrivileges);
  reset_signals();
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::syscall(SYS_execveat, plan.binary, "", plan.argv, plan.envp, AT_EMPTY_PATH);
  give_up(plan, Step::kExec);
}

bool is_for_supervisor(std::string_view entry) {
  if (entry.starts_with(kRoleVariable)) return true;
  const std::string_view name = entry.substr(0, entry.find('='));
  return std::any_of(std::begin(ServiceManager::kVariables), std::end(ServiceManager::kVariables),
                     [name](const char* variable) { return name == variable; });
}

// The supervisor's environment with SAOLA_ROLE set for the child.
std::vector<std::string> make_environment(const LaunchRequest& request) {
  std::vector<std::string> entries;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    if (!is_for_supervisor(*entry)) entries.emplace_back(*entry);
  }
  entries.push_back(std::string(kRoleVariable) + request.role + ":" +
                    std::to_string(request.control_fd));
  return entries;
}

// Signals are held back over the fork, so that no handler of the supervisor runs in the child.
pid_t fork_quietly(const Plan& plan) {
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::sigprocmask(SIG_SETMASK, &all, &before);
  const pid_t pid = ::fork();
  if (pid == 0) become_child(plan);
  const int reason = errno;
  ::sigprocmask(SIG_SETMASK, &before, nullptr);
  errno = reason;
  return pid;
}

// Waits for the exec, which takes a moment. Nothing read: it worked.
Result<void> wait_for_exec(const UniqueFd& report, pid_t pid) {
  Failure failure{};
  ssize_t got = 0;
  do {
    got = ::read(report.get(), &failure, sizeof failure);
  } while (got < 0 && errno == EINTR);
  if (got == 0) return {};
  while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
  if (got != static_cast<ssize_t>(sizeof failure)) return fail("the child died before exec");
  return Unexpected{system_error(describe(failure.step), failure.reason)};
}

}  // namespace

ProcessLauncher::ProcessLauncher(EventLoop& loop, UniqueFd binary, Credentials credentials)
    : loop_(loop),
      binary_(std::move(binary)),
      null_(::open("/dev/null", O_RDWR | O_CLOEXEC)),
      credentials_(std::move(credentials)),
      on_child_(loop, SIGCHLD, [this] { reap_all(); }) {}

ProcessLauncher::~ProcessLauncher() = default;

Result<UniqueFd> ProcessLauncher::open_running_binary() {
  UniqueFd binary(::open("/proc/self/exe", O_PATH | O_CLOEXEC));
  if (!binary) return Unexpected{system_error("open /proc/self/exe", errno)};
  return binary;
}

Result<pid_t> ProcessLauncher::launch(const LaunchRequest& request, ExitCallback on_exit) {
  if (request.leaves_children && ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0) {
    return Unexpected{system_error("become the parent of orphans", errno)};
  }
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return Unexpected{system_error("pipe", errno)};
  UniqueFd report(ends[0]);
  UniqueFd child_report(ends[1]);

  std::string title = request.title;
  std::vector<std::string> environment = make_environment(request);
  std::array<char*, 2> argv{title.data(), nullptr};
  std::vector<char*> envp;
  envp.reserve(environment.size() + 1);
  for (auto& entry : environment) envp.push_back(entry.data());
  envp.push_back(nullptr);

  const Plan plan{::getpid(),         binary_.get(), null_.get(), request.control_fd,
                  child_report.get(), &credentials_, argv.data(), envp.data()};
  const pid_t pid = fork_quietly(plan);
  if (pid < 0) return Unexpected{system_error("fork", errno)};
  child_report.reset();
  if (auto started = wait_for_exec(report, pid); !started) return Unexpected{started.error()};
  watch(pid, std::move(on_exit));
  return pid;
}

Result<void> ProcessLauncher::adopt(pid_t pid, ExitCallback on_exit) {
  siginfo_t info{};
  const bool ours =
      pid > 0 && ::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG | WNOWAIT) == 0;
  if (!ours || processes_.contains(pid)) {
    return fail("process " + std::to_string(pid) + " is no child of the supervisor");
  }
  watch(pid, std::move(on_exit));
  return {};
}

void ProcessLauncher::watch(pid_t pid, ExitCallback on_exit) {
  auto process = std::make_unique<Process>();
  process->launcher = this;
  process->pid = pid;
  process->on_exit = std::move(on_exit);
  // Where the kernel has none, SIGCHLD alone tells of the exit.
  process->pidfd.reset(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0U)));
  if (process->pidfd) {
    process->watcher =
        std::make_unique<IoWatcher>(loop_, process->pidfd.get(), on_pidfd, process.get());
    process->watcher->watch(IoWatcher::kRead);
  }
  processes_[pid] = std::move(process);
}

void ProcessLauncher::on_pidfd(void* process, short) {
  auto& self = *static_cast<Process*>(process);
  self.launcher->reap(self.pid);
}

void ProcessLauncher::reap(pid_t pid) {
  int status = 0;
  if (::waitpid(pid, &status, WNOHANG) != pid) return;
  const auto found = processes_.find(pid);
  if (found == processes_.end()) return;  // a stranger
  auto process = std::move(found->second);
  processes_.erase(found);
  const ExitCallback on_exit = std::move(process->on_exit);
  process->watcher.reset();
  loop_.delete_later(std::move(process));
  on_exit(status);
}

void ProcessLauncher::reap_all() {
  while (true) {
    siginfo_t info{};
    if (::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0) return;
    reap(info.si_pid);
  }
}

void ProcessLauncher::send_signal(pid_t pid, int signal_number) {
  // Not reaped yet, so the number is still this process's.
  if (processes_.contains(pid)) ::kill(pid, signal_number);
}

}  // namespace saola::control
