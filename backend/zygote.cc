#include "backend/zygote.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "backend/app_metrics.h"
#include "backend/worker.h"
#include "backend/worker_setup.h"
#include "common/config/log_plan.h"

namespace saola::backend {
namespace {

constexpr std::size_t kLogBytes = std::size_t{256} << 10;  // that may wait for a slow reader
constexpr std::chrono::milliseconds kLogPause{100};        // then it is tried again

constexpr int kExitFailed = 1;
constexpr int kExitApplication = 3;

constexpr const char* kPreloadSource =
#include "python/preload.inc"
    ;

void wait_readable(int fd, std::chrono::milliseconds limit = std::chrono::milliseconds(-1)) {
  pollfd readable{fd, POLLIN, 0};
  while (::poll(&readable, 1, static_cast<int>(limit.count())) < 0 && errno == EINTR) {
  }
}

std::size_t count_threads() {
  std::error_code ignored;
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry :
       std::filesystem::directory_iterator("/proc/self/task", ignored)) {
    ++count;
  }
  return count;
}

void reap(pid_t pid) {
  while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
}

// The process of a forked worker that cannot be one: nothing of the zygote's is to run in it.
[[noreturn]] void end_unborn() { ::_exit(kExitFailed); }

// Where there is no process, its channel says why.
void tell_no_worker(UniqueFd control, const std::string& reason) {
  ipc::ControlChannel channel(std::move(control));
  // Failed: the end of the channel says enough.
  static_cast<void>(channel.send(ipc::to_json(ipc::BootFailed{reason, false})));
}

}  // namespace

Zygote::Zygote(UniqueFd control, std::span<char> title)
    : control_(std::move(control)),
      title_(title),
      supervisor_(::getppid()),
      sink_(LogFan::Threads::kNone, kLogBytes) {}

// --- up to Ready --------------------------------------------------------------------------------

Result<ipc::ControlChannel::Received> Zygote::wait_for_message() {
  for (;;) {
    auto received = control_.receive();
    if (!received || received->closed || !received->again) return received;
    wait_readable(control_.fd());
  }
}

Result<void> Zygote::set_up() {
  auto received = wait_for_message();
  if (!received) return Unexpected{received.error()};
  if (received->closed) return fail("the supervisor closed the control channel");
  const auto message = ipc::parse_control_message(received->text);
  if (!message) return Unexpected{message.error()};
  const auto* init = std::get_if<ipc::ZygoteInit>(&*message);
  if (init == nullptr || received->fds.size() != 3) {
    return fail("the supervisor's first message is not ZygoteInit with its descriptors");
  }
  app_name_ = init->app;
  UniqueFd log_file = std::move(received->fds[1]);
  metrics_file_ = std::move(received->fds[2]);
  auto config = read_worker_start(received->fds[0]);
  if (!config) return Unexpected{config.error()};
  config_ = *std::move(config);
  sink_.plan(config::error_log_plan(config_.log), std::move(log_file), false);
  const auto found = config_.apps.find(app_name_);
  if (found == config_.apps.end()) return fail("the configuration has no app " + app_name_);
  app_ = &found->second;
  log_.emplace(sink_, "zygote " + app_name_, config_.log.level);
  return {};
}

Result<void> Zygote::import_app() {
  if (auto applied = apply_environment(*app_); !applied) return applied;
  auto interpreter = Interpreter::start(interpreter_options(*app_, config_.directory));
  if (!interpreter) return Unexpected{interpreter.error()};
  preloaded_.reset(new PreloadedApp{
      *std::move(interpreter), AppLog(Logger(sink_, "app " + app_name_, LogLevel::kDebug)), {}});
  if (auto installed = preloaded_->app_log.install(); !installed) return installed;
  if (auto enabled = enable_faulthandler(); !enabled) return enabled;
  if (app_->metrics_memory > 0) {
    auto ready = install_app_metrics(std::move(metrics_file_), *log_);
    if (!ready) return ready;
  }
  auto loaded = load_app(*app_);
  if (!loaded) return Unexpected{loaded.error()};
  preloaded_->app = *std::move(loaded);
  warn_of_threads();
  const auto module = run_embedded("saola_preload", kPreloadSource);
  if (!module) return Unexpected{module.error()};
  if (!steal(PyObject_CallMethod(module->ptr(), "settle", nullptr))) return python_failure();
  return {};
}

// They do not exist in the workers, whatever waits for them there.
void Zygote::warn_of_threads() {
  const auto module = run_embedded("saola_preload", kPreloadSource);
  const auto names =
      module ? steal(PyObject_CallMethod(module->ptr(), "other_threads", nullptr)) : py::object();
  if (!names) return log_->error("cannot look for threads: {}", take_traceback());
  const auto python = static_cast<std::size_t>(PyList_Size(names.ptr()));
  for (std::size_t i = 0; i < python; ++i) {
    log_->warning(
        "the import of \"{}\" started the thread {}: it does not run in the workers (preload); "
        "start "
        "it when the worker has been forked, as docs/preload.md says",
        app_->target, to_text(PyList_GetItem(names.ptr(), static_cast<Py_ssize_t>(i))));
  }
  const std::size_t all = count_threads();
  if (all > python + 1) {
    log_->warning(
        "the import of \"{}\" started {} native thread{}: none runs in the workers (preload), and "
        "locks that they hold while a worker is forked stay locked in it",
        app_->target, all - python - 1, all - python == 2 ? "" : "s");
  }
}

Result<void> Zygote::tell_supervisor(const ipc::ControlMessage& message) {
  auto sent = control_.send(ipc::to_json(message));
  while (sent && control_.wants_write()) {
    pollfd room{control_.fd(), POLLOUT, 0};
    ::poll(&room, 1, -1);
    sent = control_.flush();
  }
  return sent;
}

int Zygote::boot_failed(const std::string& reason, bool application) {
  // Failed: the supervisor has gone, and with it the reason to be.
  static_cast<void>(tell_supervisor(ipc::BootFailed{reason, application}));
  return application ? kExitApplication : kExitFailed;
}

int Zygote::run() {
  if (auto ready = set_up(); !ready) return boot_failed(ready.error().message, false);
  if (auto imported = import_app(); !imported) return boot_failed(imported.error().message, true);
  ipc::Ready ready;
  ready.interface = interface_name(preloaded_->app.interface);
  if (!tell_supervisor(ready)) return kExitFailed;
  return serve();
}

// --- forking ------------------------------------------------------------------------------------

int Zygote::serve() {
  for (;;) {
    const auto limit = sink_.waiting() ? kLogPause : std::chrono::milliseconds(-1);
    {
      const GilRelease released;  // for threads that the import started
      wait_readable(control_.fd(), limit);
    }
    sink_.flush();
    auto received = control_.receive();
    if (!received || received->closed) return 0;
    if (received->again) continue;
    const auto message = ipc::parse_control_message(received->text);
    if (!message) return kExitFailed;
    if (std::holds_alternative<ipc::Stop>(*message)) return 0;
    if (std::holds_alternative<ipc::ReopenLogs>(*message) && !received->fds.empty()) {
      sink_.reopen(std::move(received->fds[0]));
    }
    const auto* order = std::get_if<ipc::ZygoteFork>(&*message);
    if (order == nullptr || received->fds.size() != 1) continue;
    if (const auto code = fork_worker(*order, std::move(received->fds[0]))) return *code;
  }
}

std::optional<int> Zygote::fork_worker(const ipc::ZygoteFork& order, UniqueFd control) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    tell_no_worker(std::move(control), system_error("pipe", errno).message);
    return std::nullopt;
  }
  UniqueFd go(ends[0]);
  UniqueFd gone(ends[1]);  // a byte: the one in the middle has ended
  PyOS_BeforeFork();
  const pid_t middle = ::fork();
  if (middle == 0) {
    const pid_t worker = ::fork();
    if (worker != 0) {
      if (worker < 0) tell_no_worker(std::move(control), system_error("fork", errno).message);
      end_unborn();
    }
    gone.reset();
    // What waits there is the zygote's to write, and its files are the zygote's to hold.
    sink_.forget();
    preloaded_->app_log.redirect(Logger(forked_sink_, "app " + app_name_, LogLevel::kDebug));
    PyOS_AfterFork_Child();
    return become_worker(order, std::move(control), std::move(go));
  }
  const int reason = errno;
  PyOS_AfterFork_Parent();
  if (middle < 0) {
    tell_no_worker(std::move(control), system_error("fork", reason).message);
    return std::nullopt;
  }
  reap(middle);
  const char byte = 0;
  // Failed: there is no worker, and its channel has said so.
  [[maybe_unused]] const auto written = ::write(gone.get(), &byte, 1);
  return std::nullopt;
}

int Zygote::become_worker(const ipc::ZygoteFork& order, UniqueFd control, UniqueFd go) {
  is_worker_ = true;
  control_ = ipc::ControlChannel(UniqueFd());
  char byte = 0;
  while (::read(go.get(), &byte, 1) < 0 && errno == EINTR) {
  }
  go.reset();
  // The supervisor may be gone before it is asked for, and the zygote before it wrote.
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || ::getppid() != supervisor_) end_unborn();
  if (::setpgid(0, 0) != 0) end_unborn();
  // The last byte stays zero, or the kernel takes the environment for a part of the title.
  std::fill(title_.begin(), title_.end(), '\0');
  std::memcpy(title_.data(), order.title.data(),
              std::min(order.title.size(), title_.empty() ? 0 : title_.size() - 1));
  ipc::ControlChannel channel(std::move(control));
  if (!channel.send(ipc::to_json(ipc::Born{static_cast<std::uint32_t>(::getpid())}))) end_unborn();
  return Worker(std::move(channel), std::move(preloaded_)).run();
}

}  // namespace saola::backend
