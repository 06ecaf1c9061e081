#include "proxy/edge.h"

#include <sys/resource.h>

#include <algorithm>

#include "common/config/latency_buckets.h"
#include "proxy/edge_report.h"

namespace saola::proxy {
namespace {

constexpr std::size_t kReadBuffer = 64 * 1024;
constexpr std::size_t kFileThreads = 2;
constexpr std::size_t kFileJobs = 4096;
// Descriptors kept for everything that is no client: workers, spool files, logs, listeners.
constexpr std::size_t kReservedDescriptors = 512;
constexpr std::chrono::seconds kHousekeeping{1};
constexpr int kTicketKeyCheckSeconds = 60;
constexpr int kIdleSweepSeconds = 2;
constexpr std::chrono::hours kExpiryWarning{24 * 30};

template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};
template <class... F>
Overloaded(F...) -> Overloaded<F...>;

}  // namespace

Edge::Edge(EventLoop& loop, ipc::ControlChannel& control, LogFan& error_log,
           std::unique_ptr<EdgeSetup> setup)
    : loop_(loop),
      control_(control),
      error_log_(error_log),
      control_watcher_(
          loop, control.fd(), [](void* self, short) { static_cast<Edge*>(self)->on_control(); },
          this),
      housekeeping_timer_(
          loop, [](void* self) { static_cast<Edge*>(self)->housekeeping(); }, this),
      drain_timer_(
          loop,
          [](void* self) {
            auto& edge = *static_cast<Edge*>(self);
            edge.services_->log.warning("graceful_timeout passed with {} connections open",
                                        edge.connections_.size());
            edge.loop_.stop();
          },
          this) {
  services_.reset(
      new EdgeServices{.loop = loop_,
                       .config = {},
                       .log = Logger(error_log_, "edge", setup->config.log.level),
                       .metrics = std::make_unique<EdgeMetrics>(
                           std::move(setup->metric_store),
                           metrics::TimeBounds(config::latency_bounds(setup->config.admin))),
                       .access_writer = nullptr,
                       .access_format = nullptr,
                       .access_sample = {},
                       .router = {},
                       .file_pool = FilePool(loop_, kFileThreads, kFileJobs),
                       .spool_space = SpoolSpace({}, 0),
                       .date = {},
                       .request_ids = {},
                       .read_buffer = std::vector<char>(kReadBuffer),
                       .fields = {},
                       .access_lines = {},
                       .dirty = {},
                       .draining = false,
                       .releasing = false,
                       .idle_close_from = {},
                       .find_upstream =
                           [](void* edge, std::string_view app) {
                             return static_cast<Edge*>(edge)->upstreams_.find(app)->second.get();
                           },
                       .edge = this});
  put_in_place(std::move(setup));
}

Edge::~Edge() {
  // Exchanges look at their upstream when they die.
  connections_.clear();
  probes_.clear();
  if (services_) services_->dirty.clear();
}

void Edge::start() {
  loop_.at_end_of_turn([this] { end_of_turn(); });
  beat();
  housekeeping_timer_.start(kHousekeeping);
  control_watcher_.watch(IoWatcher::kRead);
  tell_supervisor(ipc::Ready{});
}

int Edge::run() {
  loop_.run();
  return exit_code_;
}

// ---- connections -------------------------------------------------------------------------------

std::size_t Edge::connection_limit() const {
  rlimit descriptors{};
  ::getrlimit(RLIMIT_NOFILE, &descriptors);
  const auto all = static_cast<std::size_t>(descriptors.rlim_cur);
  const std::size_t possible = all > 2 * kReservedDescriptors ? all - kReservedDescriptors
                                                              : std::max<std::size_t>(all / 2, 1);
  const auto wanted = static_cast<std::size_t>(services_->config.limits.connections);
  if (wanted > possible) {
    services_->log.warning(
        "limits.connections = {} needs more descriptors than the limit of {}; "
        "accepting pauses at {} connections",
        wanted, all, possible);
  }
  return wanted == 0 ? possible : std::min(wanted, possible);
}

bool Edge::accept(UniqueFd socket, const std::shared_ptr<Listener::Context>& context, Peer peer) {
  services_->metrics->accepted(context->config.address);
  auto connection = std::make_unique<ClientConnection>(*services_, *this, context,
                                                       std::move(socket), std::move(peer));
  connection->index = connections_.size();
  connections_.push_back(std::move(connection));
  if (connections_.size() < max_connections_) return true;
  if (!paused_) {
    services_->log.warning("{} connections are open: accepting pauses until one closes",
                           connections_.size());
  }
  paused_ = true;
  for (auto& listener : listeners_) listener->pause();
  return false;
}

void Edge::on_connection_closed(ClientConnection& connection) {
  const std::size_t index = connection.index;
  std::unique_ptr<ClientConnection> dying = std::move(connections_[index]);
  if (index + 1 < connections_.size()) {
    connections_[index] = std::move(connections_.back());
    connections_[index]->index = index;
  }
  connections_.pop_back();
  loop_.delete_later(std::move(dying));
  if (paused_ && accepting_ && connections_.size() < max_connections_) {
    paused_ = false;
    for (auto& listener : listeners_) listener->resume();
  }
}

void Edge::open_listeners() {
  if (accepting_ || services_->draining) return;
  for (const auto& [name, upstream] : upstreams_) {
    if (upstream->worker_count() == 0) return;
  }
  accepting_ = true;
  for (auto& listener : listeners_) listener->resume();
}

// ---- one turn ----------------------------------------------------------------------------------

// Requests of this turn go to the workers first, so that Python starts while answers are written;
// what writing them brought (credit, pipelined requests) follows.
void Edge::end_of_turn() {
  for (auto& [name, upstream] : upstreams_) upstream->flush();
  flush_clients();
  for (auto& [name, upstream] : upstreams_) upstream->flush();
  if (!services_->access_lines.empty()) {
    access_writer_->write_line(services_->access_lines);
    services_->access_lines.clear();
  }
  if (services_->draining) finish_drain_if_idle();
  services_->metrics->turned(std::chrono::steady_clock::now() - loop_.now());
}

void Edge::flush_clients() {
  auto& dirty = services_->dirty;
  // end_turn() may mark connections dirty again: those wait for the next turn.
  std::size_t count = dirty.size();
  for (std::size_t i = 0; i < count; ++i) {
    if (dirty[i] != nullptr) dirty[i]->end_turn();
  }
  dirty.erase(dirty.begin(), dirty.begin() + static_cast<std::ptrdiff_t>(count));
  if (!dirty.empty()) loop_.wake_soon();
}

void Edge::housekeeping() {
  housekeeping_timer_.start(kHousekeeping);
  beat();
  ++seconds_;
  sample_metrics();
  if (seconds_ % kIdleSweepSeconds == 0) {
    for (auto& connection : connections_) connection->release_if_idle();
  }
  if (seconds_ % kTicketKeyCheckSeconds == 0) {
    for (auto& listener : listeners_) {
      if (auto& tls = listener->context().tls) tls->rotate_ticket_keys(loop_.now());
    }
  }
  if (seconds_ % (24 * 3600) == 0) {
    for (auto& listener : listeners_) {
      auto& context = listener->context();
      if (context.tls) warn_of_expiry(*context.tls, context.config.address);
    }
  }
}

void Edge::sample_metrics() {
  EdgeMetrics::Sample sample;
  for (const auto& connection : connections_) {
    if (connection->is_shaking_hands()) {
      ++sample.handshaking;
    } else if (connection->is_idle()) {
      ++sample.idle;
    } else {
      ++sample.active;
    }
  }
  sample.accepting_paused = paused_;
  sample.spooled_bytes = services_->spool_space.used();
  sample.error_lines_dropped = error_log_.dropped_lines();
  if (access_writer_) sample.access_lines_dropped = access_writer_->dropped_lines();
  services_->metrics->sample(sample);
  for (const auto& [name, upstream] : upstreams_) upstream->sample_metrics();
}

// The supervisor replaces an edge whose loop does not come round (server.edge_hang_timeout).
void Edge::beat() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  scoreboard_->server().edge_heartbeat_ns.store(
      static_cast<std::uint64_t>(std::chrono::nanoseconds(now).count()), std::memory_order_relaxed);
}

void Edge::warn_of_expiry(const TlsContext& tls, std::string_view address) {
  const auto now = std::chrono::system_clock::now();
  for (const auto& expiry : tls.expiries()) {
    const auto days =
        std::chrono::duration_cast<std::chrono::hours>(expiry.not_after - now).count() / 24;
    if (expiry.not_after <= now) {
      services_->log.error("{}: certificate {} has expired", address, expiry.certificate_path);
    } else if (expiry.not_after - now < kExpiryWarning) {
      services_->log.warning("{}: certificate {} expires in {} days", address,
                             expiry.certificate_path, days);
    }
    if (expiry.not_before > now) {
      services_->log.warning("{}: certificate {} is not valid yet", address,
                             expiry.certificate_path);
    }
  }
}

// ---- the supervisor ----------------------------------------------------------------------------

void Edge::tell_supervisor(const ipc::ControlMessage& message) {
  if (const auto sent = control_.send(ipc::to_json(message)); !sent) {
    services_->log.error("control channel: {}", sent.error().message);
    exit_code_ = 1;
    loop_.stop();
  }
  control_watcher_.watch(static_cast<short>(
      IoWatcher::kRead | (control_.wants_write() ? IoWatcher::kWrite : short{0})));
}

void Edge::on_control() {
  if (control_.wants_write()) {
    if (!control_.flush()) return loop_.stop();
    if (!control_.wants_write()) control_watcher_.watch(IoWatcher::kRead);
  }
  for (;;) {
    auto received = control_.receive();
    if (!received || received->closed) {
      // Without a supervisor nobody would ever replace or stop this process.
      services_->log.error("the supervisor is gone; exiting");
      exit_code_ = 1;
      return loop_.stop();
    }
    if (received->again) return;
    const auto message = ipc::parse_control_message(received->text);
    if (!message) {
      services_->log.error("control channel: {}", message.error().message);
      continue;
    }
    handle(*message, std::move(received->fds));
  }
}

void Edge::handle(const ipc::ControlMessage& message, std::vector<UniqueFd> fds) {
  const auto each_upstream = [this](auto&& action) {
    for (auto& [name, upstream] : upstreams_) action(*upstream);
  };
  std::visit(
      Overloaded{
          [&](const ipc::WorkerAdd& add) { add_worker(add, std::move(fds)); },
          [&](const ipc::WorkerDrain& drain) {
            each_upstream([&](Upstream& app) { app.drain_worker(drain.worker_id); });
          },
          [&](const ipc::WorkerRemove& remove) {
            each_upstream([&](Upstream& app) { app.remove_worker(remove.worker_id); });
          },
          [&](const ipc::WorkerProbe& to_probe) { probe(to_probe); },
          [&](const ipc::EdgePrepare& next) { prepare(next, std::move(fds)); },
          [&](const ipc::EdgeCommit& next) { commit(next.generation, next.rolling); },
          [&](const ipc::EdgeAbandon& failed) {
            if (prepared_ && prepared_->generation == failed.generation) prepared_.reset();
          },
          [&](const ipc::ReleaseClients&) { services_->releasing = true; },
          [&](const ipc::Drain& drain) { begin_drain(drain); },
          [&](const ipc::Stop&) { loop_.stop(); },
          [&](const ipc::EdgeInspect&) { tell_supervisor(report()); },
          [&](const ipc::ReopenLogs& reopen) { reopen_logs(reopen, std::move(fds)); },
          [&](const auto&) { services_->log.error("control channel: a message not for an edge"); }},
      message);
}

ipc::EdgeReport Edge::report() const {
  ipc::EdgeReport report;
  report.connections = static_cast<std::uint32_t>(connections_.size());
  for (const auto& [name, upstream] : upstreams_) upstream->add_to(report);
  keep_longest(report);
  return report;
}

void Edge::add_worker(const ipc::WorkerAdd& worker, std::vector<UniqueFd> fds) {
  const config::App* app = settings_of(worker.app);
  if (fds.size() != 2 || app == nullptr) {
    return services_->log.error("control channel: WorkerAdd without its descriptors or app");
  }
  auto claims = ipc::ClaimTable::map(fds[1]);
  if (!claims)
    return services_->log.error("worker {}: {}", worker.worker_id, claims.error().message);
  upstream(worker.app, *app).add_worker(worker, std::move(fds[0]), std::move(*claims));
  open_listeners();
}

void Edge::reopen_logs(const ipc::ReopenLogs& message, std::vector<UniqueFd> fds) {
  if (!fds.empty()) error_log_.reopen(std::move(fds[0]));
  if (message.has_access_log && fds.size() > 1 && access_writer_) {
    access_writer_->reopen(std::move(fds[1]));
  }
}

void Edge::begin_drain(const ipc::Drain& drain) {
  if (services_->draining) return;
  services_->draining = true;
  services_->idle_close_from = loop_.now() + std::chrono::milliseconds(drain.idle_ms);
  for (auto& listener : listeners_) listener->finish();
  // drain() may close the connection, which moves the last one to its place.
  for (std::size_t i = connections_.size(); i-- > 0;) {
    if (i < connections_.size()) connections_[i]->drain();
  }
  drain_timer_.start(std::chrono::milliseconds(drain.timeout_ms));
  loop_.wake_soon();
}

void Edge::finish_drain_if_idle() {
  for (std::size_t i = connections_.size(); i-- > 0;) {
    if (i < connections_.size() && connections_[i]->may_close_at_drain()) connections_[i]->close();
  }
  if (!connections_.empty()) return;
  tell_supervisor(ipc::Drained{});
  loop_.stop();
}

}  // namespace saola::proxy
