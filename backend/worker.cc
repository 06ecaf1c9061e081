#include "backend/worker.h"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "backend/app_loader.h"
#include "backend/app_metrics.h"
#include "backend/channel_helper.h"
#include "backend/gc_watch.h"
#include "backend/hooks.h"
#include "backend/interpreter.h"
#include "backend/stack_dump.h"
#include "backend/worker_setup.h"
#include "common/config/log_plan.h"

namespace saola::backend {
namespace {

constexpr int kExitFailed = 1;
constexpr int kExitApplication = 3;
// A traceback in BootFailed is cut in the middle above this; a packet has 128 KiB.
constexpr std::size_t kLongestReason = 24 * 1024;
// How long last words to the supervisor, the edge or the log may take.
constexpr std::chrono::milliseconds kLastWords{2000};
constexpr std::chrono::milliseconds kLogGrace{200};
constexpr std::size_t kLogBytes = std::size_t{1} << 20;  // that may wait for the disk
// What worker_abort gets of the few seconds until the supervisor kills.
constexpr std::chrono::milliseconds kAbortHook{1000};
// Stacks of requests that time out are not taken more often.
constexpr std::chrono::milliseconds kStacksPause{1000};
// How often slow requests are looked for: four times within slow_request, in these bounds.
constexpr std::chrono::milliseconds kShortestLook{10};
constexpr std::chrono::milliseconds kLongestLook{250};

// The handler knows nothing but this.
volatile sig_atomic_t stop_signal_fd = -1;

void on_signal(int) {
  const int saved = errno;
  const std::uint64_t one = 1;
  if (::write(stop_signal_fd, &one, sizeof one) < 0) {
    // Only EAGAIN is possible: the descriptor is readable already.
  }
  errno = saved;
}

std::string shortened(std::string text) {
  if (text.size() <= kLongestReason) return text;
  return text.substr(0, kLongestReason / 2) + "\n  [...]\n" +
         text.substr(text.size() - kLongestReason / 2);
}

Result<void> call(const char* module, const char* function) {
  const auto found = steal(PyImport_ImportModule(module));
  if (!found || !steal(PyObject_CallMethod(found.ptr(), function, nullptr))) {
    return python_failure();
  }
  return {};
}

}  // namespace

// --- before Python ------------------------------------------------------------------------------

Result<ipc::ControlChannel::Received> Worker::wait_for_init() {
  for (;;) {
    auto received = control_.receive();
    if (!received || received->closed || !received->again) return received;
    pollfd readable{control_.fd(), POLLIN, 0};
    if (::poll(&readable, 1, -1) < 0 && errno != EINTR) {
      return Unexpected{system_error("poll the control channel", errno)};
    }
  }
}

Result<void> Worker::take_init(ipc::ControlChannel::Received received) {
  if (received.closed) return fail("the supervisor closed the control channel");
  const auto message = ipc::parse_control_message(received.text);
  if (!message) return Unexpected{message.error()};
  const auto* init = std::get_if<ipc::WorkerInit>(&*message);
  if (init == nullptr || received.fds.size() != 6) {
    return fail("the supervisor's first message is not WorkerInit with its descriptors");
  }
  init_ = *init;
  writer_.emplace(LogFan::Threads::kOwn, kLogBytes, std::move(received.fds[4]));
  log_.emplace(*writer_, "worker " + init_.app + " " + std::to_string(init_.worker_id),
               LogLevel::kInfo);
  log_->set_generation(init_.generation);

  auto config = read_worker_start(received.fds[0]);
  if (!config) return Unexpected{config.error()};
  config_ = *std::move(config);
  log_->set_level(config_.log.level);
  writer_->plan(config::error_log_plan(config_.log), {}, false);
  const auto found = config_.apps.find(init_.app);
  if (found == config_.apps.end()) return fail("the configuration has no app " + init_.app);
  app_ = &found->second;

  auto claims = ipc::ClaimTable::map(received.fds[2]);
  if (!claims) return Unexpected{claims.error()};
  auto scoreboard = ipc::Scoreboard::map_slot(received.fds[3], init_.scoreboard_slot);
  if (!scoreboard) return Unexpected{scoreboard.error()};
  scoreboard_.emplace(std::move(*scoreboard));
  slot_ = &scoreboard_->slot(init_.scoreboard_slot);
  channel_ = std::make_unique<RequestChannel>(std::move(received.fds[1]), std::move(*claims));
  channel_->count_in(slot_);
  channel_->on_damage([this] {
    log_->error(
        "the claim table has been overwritten: something in this process writes where it "
        "should not; no more requests are taken, the supervisor ends it");
  });
  // A forked worker has its zygote's.
  if (preloaded_ == nullptr) metrics_file_ = std::move(received.fds[5]);
  return {};
}

// Terminal signals do not reach a worker (it has a process group of its own); whoever sends one
// means the same as the supervisor's Drain.
void Worker::install_signal_handlers() {
  stop_signal_fd = stop_signal_.get();
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  for (const int number : {SIGTERM, SIGINT, SIGQUIT}) ::sigaction(number, &action, nullptr);
  action.sa_handler = SIG_IGN;
  ::sigaction(SIGPIPE, &action, nullptr);
}

Result<void> Worker::set_up() {
  stop_signal_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!stop_signal_) return Unexpected{system_error("eventfd", errno)};
  install_signal_handlers();
  auto received = wait_for_init();
  if (!received) return Unexpected{received.error()};
  if (auto taken = take_init(std::move(*received)); !taken) return taken;
  slot_->worker_id = init_.worker_id;
  slot_->generation = init_.generation;
  slot_->pid = static_cast<std::uint32_t>(::getpid());
  enter(ipc::WorkerPhase::kBooting);
  return {};
}

int Worker::run() {
  if (auto ready = set_up(); !ready) return boot_failed(ready.error().message, false);
  HelperChore chore;
  if (app_->slow_request.count() > 0) {
    channel_->time_claims();
    chore = {std::clamp(app_->slow_request / 4, kShortestLook, kLongestLook),
             [this] { look_for_slow_requests(); }};
  }
  channel_->on_timeout_seen([this](const RunningRequest& request) { report_timeout(request); });
  ChannelHelper helper(*channel_, slot_,
                       {{control_.fd(), [this] { return on_control(); }},
                        {stop_signal_.get(), [this] { return on_stop_signal(); }}},
                       std::move(chore));
  const int code = run_python();
  enter(ipc::WorkerPhase::kExited);
  return code;
}

// --- with Python --------------------------------------------------------------------------------

int Worker::run_python() {
  Logger log(*writer_, "app " + init_.app + " " + std::to_string(init_.worker_id),
             LogLevel::kDebug);
  log.set_generation(init_.generation);
  if (preloaded_ != nullptr) {
    preloaded_->app_log.redirect(log);
    begin_worker_app_metrics(*log_);
    const int code = run_app(preloaded_->app_log);
    preloaded_.reset();
    return code;
  }
  if (auto applied = apply_environment(*app_); !applied) {
    return boot_failed(applied.error().message, true);
  }
  auto interpreter = Interpreter::start(interpreter_options(*app_, config_.directory));
  if (!interpreter) return boot_failed(interpreter.error().message, true);
  AppLog app_log(log);
  if (auto installed = app_log.install(); !installed) {
    return boot_failed(installed.error().message, true);
  }
  if (app_->metrics_memory > 0) {
    if (auto ready = install_app_metrics(std::move(metrics_file_), *log_); !ready) {
      return boot_failed(ready.error().message, false);
    }
    begin_worker_app_metrics(*log_);
  }
  return run_app(app_log);
}

int Worker::run_app(AppLog& app_log) {
  const auto hooks = boot_hooks(app_log);
  if (!hooks) return boot_failed(hooks.error().message, true);
  auto host = boot_app(app_log, hooks->get());
  if (!host) {  // the hooks first: who is told ends this process
    if (*hooks) (*hooks)->at_exit();
    return boot_failed(host.error().message, true);
  }
  const int code = serve(**host);
  forget_hooks();
  if (*hooks) (*hooks)->at_exit();
  return code;
}

// The helper may be at worker_abort, which needs the GIL, and ends the process.
void Worker::forget_hooks() {
  const GilRelease released;
  const std::lock_guard lock(hooks_mutex_);
  hooks_ = nullptr;
}

Result<std::unique_ptr<Hooks>> Worker::boot_hooks(AppLog& app_log) {
  auto hooks = Hooks::load(*app_, init_.worker_id, app_log, *log_);
  if (!hooks || !*hooks) return hooks;
  if (auto booted = (*hooks)->boot(); !booted) {
    (*hooks)->at_exit();
    return Unexpected{booted.error()};
  }
  return hooks;
}

Result<std::unique_ptr<AppHost>> Worker::boot_app(AppLog& app_log, Hooks* hooks) {
  if (auto enabled = enable_faulthandler(); !enabled) return Unexpected{enabled.error()};
  if (auto watched = watch_garbage_collector(*slot_); !watched) return Unexpected{watched.error()};
  auto loaded = preloaded_ != nullptr ? Result<LoadedApp>(preloaded_->app) : load_app(*app_);
  if (!loaded) return Unexpected{loaded.error()};
  const bool wsgi = loaded->interface == AppInterface::kWsgi;
  const py::object application = loaded->application;
  HostContext context{*channel_, *app_, app_log, *log_, std::move(loaded->application)};
  if (hooks != nullptr && hooks->around_requests()) context.hooks = hooks;
  auto host = wsgi ? make_wsgi_host(std::move(context)) : make_asgi_host(std::move(context));
  if (auto started = host->start(); !started) return Unexpected{started.error()};
  if (hooks != nullptr) {
    if (auto ready = hooks->ready(application); !ready) {
      host->shutdown();
      return Unexpected{ready.error()};
    }
  }
  // What the import made lives as long as the process: collections need not walk it.
  if (auto collected = call("gc", "collect"); !collected) return Unexpected{collected.error()};
  if (auto frozen = call("gc", "freeze"); !frozen) return Unexpected{frozen.error()};
  ipc::Ready ready;
  ready.interface = interface_name(wsgi ? AppInterface::kWsgi : AppInterface::kAsgi);
  ready.slots = static_cast<std::uint32_t>(wsgi ? app_->threads : app_->concurrency);
  enter(ipc::WorkerPhase::kReady);
  {
    const std::lock_guard lock(hooks_mutex_);
    hooks_ = hooks;
  }
  serving_ = true;
  tell_supervisor(ready);
  log_->info("ready: {} ({})", app_->target, ready.interface);
  return host;
}

int Worker::serve(AppHost& host) {
  host.serve();
  if (channel_->broken()) {
    log_->info("ends without a connection to an edge: {}", channel_->broken_reason());
  }
  host.shutdown();
  bool flushed = false;
  {
    const GilRelease released;
    flushed = channel_->flush_all(kLastWords);
  }
  if (!flushed && !channel_->broken()) {
    log_->warning("the edge did not take the last answers within {} ms", kLastWords.count());
  }
  return 0;
}

int Worker::boot_failed(std::string reason, bool application) {
  if (slot_ != nullptr) enter(ipc::WorkerPhase::kExited);
  ipc::BootFailed failed;
  failed.reason = shortened(std::move(reason));
  failed.application = application;
  tell_supervisor(failed);
  return application ? kExitApplication : kExitFailed;
}

void Worker::tell_supervisor(const ipc::ControlMessage& message) {
  const std::lock_guard lock(sending_);
  const auto deadline = std::chrono::steady_clock::now() + kLastWords;
  auto sent = control_.send(ipc::to_json(message));
  while (sent && control_.wants_write() && std::chrono::steady_clock::now() < deadline) {
    pollfd room{control_.fd(), POLLOUT, 0};
    ::poll(&room, 1, static_cast<int>(kLastWords.count()));
    sent = control_.flush();
  }
  // A supervisor that does not listen has gone; the helper sees that and ends this process.
  if (!sent && log_) log_->warning("control channel: {}", sent.error().message);
}

void Worker::enter(ipc::WorkerPhase phase) {
  slot_->phase.store(static_cast<std::uint32_t>(phase), std::memory_order_relaxed);
}

// --- in the helper's thread ---------------------------------------------------------------------

bool Worker::on_control() {
  for (;;) {
    auto received = control_.receive();
    if (!received || received->closed) exit_now();
    if (received->again) return true;
    const auto message = ipc::parse_control_message(received->text);
    if (!message) exit_now();
    if (std::holds_alternative<ipc::Stop>(*message)) give_up();
    if (const auto* drain = std::get_if<ipc::Drain>(&*message)) {
      begin_drain(std::chrono::milliseconds(drain->timeout_ms));
    }
    if (std::holds_alternative<ipc::WorkerRewire>(*message)) rewire(std::move(received->fds));
    if (const auto* dump = std::get_if<ipc::DumpStacks>(&*message)) dump_stacks(*dump);
    if (std::holds_alternative<ipc::ReopenLogs>(*message) && !received->fds.empty()) {
      writer_->reopen(std::move(received->fds[0]));
    }
  }
}

// Without its descriptors (this process may have too many open) the worker would be of no use.
void Worker::rewire(std::vector<UniqueFd> fds) {
  auto claims = fds.size() == 2 ? ipc::ClaimTable::map(fds[1])
                                : Result<ipc::ClaimTable>(fail("its descriptors are missing"));
  if (!claims) {
    log_->error("cannot take the connection to a new edge: {}", claims.error().message);
    exit_now();
  }
  channel_->reconnect(std::move(fds[0]), std::move(*claims));
  log_->info("connected to a new edge; of the last one: {}", channel_->broken_reason());
}

bool Worker::on_stop_signal() {
  begin_drain(config_.server.graceful_timeout);
  return false;
}

void Worker::begin_drain(std::chrono::milliseconds left) {
  if (!serving_) exit_now();  // still importing: there is nothing to finish
  enter(ipc::WorkerPhase::kDraining);
  channel_->begin_drain(std::chrono::steady_clock::now() + left);
}

void Worker::give_up() {
  const std::lock_guard lock(hooks_mutex_);
  if (hooks_ != nullptr && !hooks_->abort(kAbortHook)) {
    log_->warning("the hook worker_abort did not end within {} ms", kAbortHook.count());
  }
  exit_now();
}

void Worker::dump_stacks(const ipc::DumpStacks& order) {
  log_->write_block(LogLevel::kError,
                    stack_report("stacks of all threads: " + order.why, channel_->running(),
                                 python_stacks(StackRisk::kAccepted)));
  writer_->drain(kLogGrace);  // the answer may be what this process is killed upon
  tell_supervisor(ipc::StacksDumped{});
}

void Worker::look_for_slow_requests() {
  const auto slow = channel_->take_slow(app_->slow_request);
  if (slow.empty()) return;
  const bool one = slow.size() == 1;
  const std::string heading = one ? "slow request" : std::to_string(slow.size()) + " slow requests";
  log_->write_block(LogLevel::kWarning,
                    stack_report(heading, slow, python_stacks(StackRisk::kNone)),
                    one ? slow.front().request_id : std::string());
}

// Before the request is told to end: its stack is where the time went. Under the channel's lock, in
// whatever thread received the word; many that time out together share one look.
void Worker::report_timeout(const RunningRequest& request) {
  const auto now = std::chrono::steady_clock::now();
  const bool look = now >= stacks_again_;
  if (look) stacks_again_ = now + kStacksPause;
  log_->write_block(LogLevel::kWarning,
                    stack_report("time-out", {request},
                                 look ? python_stacks(StackRisk::kNone)
                                      : "no stacks: there were some less than a second ago"),
                    request.request_id);
}

// No destructors: the main thread may be anywhere in Python.
void Worker::exit_now() {
  enter(ipc::WorkerPhase::kExited);
  writer_->drain(kLogGrace);
  ::_exit(0);
}

}  // namespace saola::backend
