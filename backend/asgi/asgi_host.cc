#include "backend/asgi/asgi_host.h"

#include <algorithm>
#include <utility>

#include "backend/asgi/channels.h"
#include "backend/asgi/names.h"

namespace saola::backend {
namespace asgi {
namespace {

using std::chrono::milliseconds;

// How often an idle loop shows that it turns (hang_timeout is in seconds).
constexpr milliseconds kTick{1000};
// What cancelled tasks get to clean up.
constexpr milliseconds kCancelGrace{1000};

// For draining and shutdown together, when nobody said how long they may take.
constexpr milliseconds kOwnLimit{30000};

// Of what is left when draining begins, what lifespan shutdown gets at least.
milliseconds shutdown_share(milliseconds left) { return std::min(left / 4, milliseconds(3000)); }

milliseconds until(std::chrono::steady_clock::time_point deadline) {
  const auto left = std::chrono::ceil<milliseconds>(deadline - std::chrono::steady_clock::now());
  return std::max(left, milliseconds(0));
}

}  // namespace

AsgiHost::~AsgiHost() {
  if (!exchanges_) return;
  exchanges_->on_last_over = [] {};
  exchanges_->on_room = [] {};
  while (exchanges_->first != nullptr) exchanges_->first->detach();
}

// --- boot ----------------------------------------------------------------------------------------

Result<void> AsgiHost::start() {
  if (Result<void> ready = prepare(); !ready) return ready;
  // Until requests are served the only thing that can come is the order to stop.
  const auto boot_callback = checked(make_callback<&AsgiHost::on_boot_event>(this));
  if (!boot_callback) return fail(boot_callback.error().message);
  const int wake_fd = context_.channel.wake_fd();
  if (Result<void> added = loop_->add_reader(wake_fd, (*boot_callback).ptr()); !added) return added;
  Result<void> started = lifespan_->startup(context_.application.ptr());
  loop_->remove_reader(wake_fd);
  if (!started) {
    log_failure("closing the event loop", loop_->close(kCancelGrace));
    over_ = true;
    return started;
  }
  context_.log.debug("ASGI host ready, event loop {}", loop_->is_uvloop() ? "uvloop" : "asyncio");
  return {};
}

Result<void> AsgiHost::prepare() {
  if (!prepare_names() || !prepare_awaitable_type() || !prepare_app_call_type() ||
      !prepare_channel_types()) {
    return python_failure();
  }
  auto loop = PyLoop::open(context_.app.loop);
  if (!loop) return fail("event loop: " + loop.error().message);
  loop_ = *std::move(loop);
  auto scopes = ScopeFactory::make(context_.app.root_path);
  if (!scopes) return fail(scopes.error().message);
  scopes_.emplace(*std::move(scopes));
  lifespan_.emplace(context_.app.lifespan, *loop_, context_.app_log);
  flusher_.emplace(context_.channel, *loop_);
  exchanges_.emplace(ExchangeContext{context_.channel, *loop_, *flusher_, context_.app_log,
                                     [this] { stop_when_over(); }});
  exchanges_->on_room = [this] { claim_soon(); };
  exchanges_->hooks = context_.hooks;
  readable_callback_ = steal(make_callback<&AsgiHost::on_readable>(this));
  second_callback_ = steal(make_callback<&AsgiHost::on_second>(this));
  drain_limit_callback_ = steal(make_callback<&AsgiHost::on_drain_limit>(this));
  if (!flusher_->prepare() || !readable_callback_ || !second_callback_ || !drain_limit_callback_) {
    return python_failure();
  }
  return {};
}

void AsgiHost::on_boot_event() {
  context_.channel.receive();  // or the descriptor stays readable
  if (context_.channel.draining()) lifespan_->interrupt();
}

// --- serving -------------------------------------------------------------------------------------

void AsgiHost::serve() {
  serving_ = true;
  if (const Result<void> watched = watch_channel(); !watched) {
    log_failure("watching the edge's socket", watched);
    return;
  }
  on_readable();  // what came before anybody watched
  while (!stopping_) {
    running_ = true;
    const Result<void> run = loop_->run();
    running_ = false;
    if (run) continue;
    // A task of the application's raised SystemExit or KeyboardInterrupt: it wants the process to
    // end. It does, but not at the cost of the requests that others run.
    log_failure("the application ended the event loop", run);
    context_.channel.begin_drain();
  }
  serving_ = false;
  context_.channel.flush();  // the last answer stopped the loop before its flush came
}

Result<void> AsgiHost::watch_channel() {
  const int wake_fd = context_.channel.wake_fd();
  if (Result<void> added = loop_->add_reader(wake_fd, readable_callback_.ptr()); !added) {
    return added;
  }
  follow_socket();
  return loop_->call_later(kTick, second_callback_.ptr());
}

// An edge that has died leaves a socket that is readable for ever; the next one brings its own.
void AsgiHost::follow_socket() {
  const RequestChannel& channel = context_.channel;
  if (watched_fd_ == (channel.broken() ? -1 : channel.fd())) return;
  if (watched_fd_ >= 0) loop_->remove_reader(watched_fd_);
  watched_fd_ = context_.channel.watchable_fd();
  if (watched_fd_ < 0) return;
  const Result<void> added = loop_->add_reader(watched_fd_, readable_callback_.ptr());
  if (added) return;
  log_failure("watching the edge's socket", added);
  watched_fd_ = -1;
  context_.channel.begin_drain();
}

void AsgiHost::on_second() {
  context_.channel.mark_turn();
  if (over_ || loop_->call_later(kTick, second_callback_.ptr())) return;
  context_.log.error("the event loop takes no timers any more");
}

void AsgiHost::on_readable() {
  RequestChannel& channel = context_.channel;
  channel.receive();
  claim_scheduled_ = false;
  if (over_) return;
  follow_socket();
  channel.take_events(events_);
  for (RequestStream* stream : events_) static_cast<Exchange*>(stream->host)->on_event();
  if (serving_ && !draining_) claim_requests();
  if (channel.has_unflushed()) flusher_->soon();
  if (channel.draining() && !draining_ && serving_) begin_drain();
}

void AsgiHost::begin_drain() {
  draining_ = true;
  deadline_ =
      std::min(context_.channel.drain_deadline(), std::chrono::steady_clock::now() + kOwnLimit);
  const milliseconds left = until(deadline_);
  log_failure("drain time-out",
              loop_->call_later(left - shutdown_share(left), drain_limit_callback_.ptr()));
  stop_when_over();
}

// The edge sends no more than `concurrency`, but of orphans it knows nothing.
bool AsgiHost::has_room() const {
  const std::size_t orphans = exchanges_->orphans;
  return orphans == 0 || context_.channel.in_flight() + orphans <
                             static_cast<std::size_t>(context_.app.concurrency);
}

void AsgiHost::claim_soon() {
  if (draining_ || std::exchange(claim_scheduled_, true)) return;
  if (!loop_->call_soon(readable_callback_.ptr())) PyErr_Clear();  // closed: nothing is claimed
}

void AsgiHost::claim_requests() {
  bool looked = false;
  while (has_room()) {
    RequestStream* stream = context_.channel.claim_next();
    if (stream == nullptr) break;
    if (!looked && !loop_->look_for_task_factory()) PyErr_Clear();
    looked = true;
    start_exchange(*stream);
  }
  // Scheduled behind the first steps of the new tasks, so their answers leave in this turn.
  if (looked) flusher_->soon();
}

void AsgiHost::start_exchange(RequestStream& stream) {
  Exchange& exchange = Exchange::begin(*exchanges_, stream);
  if (stream.body_file_lost) {
    context_.log.write(LogLevel::kError, "the descriptor of a spooled body was lost",
                       stream.request.meta.request_id);
    exchange.refuse(503);
    return;
  }
  if (!call_application(exchange, stream.request)) exchange.could_not_start();
}

// False with an exception set.
bool AsgiHost::call_application(Exchange& exchange, const ipc::RequestView& request) {
  py::object scope = steal(scopes_->http(request, lifespan_->state()));
  if (!scope) return false;
  py::object receive = steal(new_receive(exchange));
  py::object send = receive ? steal(new_send(exchange)) : py::object();
  if (!send) return false;
  const py::object hook_scope = context_.hooks != nullptr ? scope : py::object();
  const py::object call = steal(new_app_call(exchange, context_.application.ptr(), std::move(scope),
                                             std::move(receive), std::move(send)));
  if (!call) return false;
  // The task copies the context when it is made; so this is set for it and not for its neighbours.
  PyObject* variable = context_.app_log.context_var();
  if (variable != nullptr && !steal(PyContextVar_Set(variable, exchange.request_id())))
    return false;
  if (hook_scope) exchange.set_hook_request(context_.hooks->begin(request, hook_scope.ptr()));
  py::object task = steal(loop_->create_task(call.ptr(), exchange.request_id()));
  if (!task) {
    reinterpret_cast<AppCall*>(call.ptr())->owner = nullptr;
    return false;
  }
  exchange.set_task(call.ptr(), std::move(task));
  return true;
}

void AsgiHost::stop_when_over() {
  if (!draining_ || stopping_ || exchanges_->count > 0) return;
  stopping_ = true;
  // A loop that is told before it runs would stop at its next run, which is shutdown's.
  if (running_) loop_->stop();
}

void AsgiHost::on_drain_limit() {
  if (stopping_) return;
  context_.log.warning("{} requests have not ended in time; their tasks are cancelled",
                       exchanges_->count);
  stopping_ = true;
  loop_->stop();
}

// --- the end -------------------------------------------------------------------------------------

void AsgiHost::shutdown() {
  if (over_ || !loop_) return;
  cancel_exchanges();
  if (!draining_) deadline_ = std::chrono::steady_clock::now() + kOwnLimit;
  lifespan_->shutdown(until(deadline_));
  if (watched_fd_ >= 0) loop_->remove_reader(watched_fd_);
  loop_->remove_reader(context_.channel.wake_fd());
  over_ = true;
  log_failure("closing the event loop", loop_->close(kCancelGrace));
  context_.channel.flush();
}

void AsgiHost::cancel_exchanges() {
  std::vector<py::object> tasks;
  for (Exchange* each = exchanges_->first; each != nullptr; each = each->next()) {
    if (each->task()) tasks.push_back(each->task());
  }
  log_failure("cancelling requests", loop_->cancel(tasks, kCancelGrace));
  context_.channel.flush();
}

void AsgiHost::log_failure(const char* what, const Result<void>& result) {
  if (result) return;
  context_.log.write_block(LogLevel::kError, std::string(what) + ": " + result.error().message);
}

}  // namespace asgi

std::unique_ptr<AppHost> make_asgi_host(HostContext context) {
  return std::make_unique<asgi::AsgiHost>(std::move(context));
}

}  // namespace saola::backend
