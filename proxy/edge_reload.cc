// Edge, the part that takes on a configuration, the first one like every later one.
#include <algorithm>
#include <utility>

#include "common/config/latency_buckets.h"
#include "common/config/log_plan.h"
#include "common/config/paths.h"
#include "proxy/edge.h"

namespace saola::proxy {
namespace {

constexpr std::size_t kAccessLogBytes = 4U << 20;  // that may wait for the disk

}  // namespace

void Edge::prepare(const ipc::EdgePrepare& message, std::vector<UniqueFd> fds) {
  auto setup = make_edge_setup(std::move(fds), message.has_access_log, message.listeners);
  if (!setup) {
    prepared_.reset();
    return tell_supervisor(ipc::EdgeRefused{message.generation, setup.error().message});
  }
  prepared_ = *std::move(setup);
  prepared_->generation = message.generation;
  tell_supervisor(ipc::EdgePrepared{message.generation});
}

// Everything that was told before (the new generation's workers) has been handled: the supervisor's
// messages keep their order.
void Edge::commit(std::uint32_t generation, bool rolling) {
  if (!prepared_ || prepared_->generation != generation) {
    return services_->log.error("control channel: EdgeCommit of what was not prepared");
  }
  put_in_place(std::move(prepared_));
  for (auto& [name, upstream] : upstreams_) {
    const auto app = services_->config.apps.find(name);
    upstream->commit(generation, app == services_->config.apps.end() ? nullptr : &app->second,
                     rolling);
  }
  services_->log.info("generation {} is in place", generation);
}

void Edge::put_in_place(std::unique_ptr<EdgeSetup> setup) {
  auto& services = *services_;
  services.config = std::move(setup->config);
  scoreboard_ = std::move(setup->scoreboard);
  services.router = Router(services.config);
  services.metrics->use(metrics::TimeBounds(config::latency_bounds(services.config.admin)));
  services.log.set_level(services.config.log.level);
  services.log.set_generation(setup->generation);
  services.spool_space.configure(
      config::resolve_path(services.config, services.config.server.spool_dir),
      services.config.limits.spool_total);
  for (const std::string& warning : setup->warnings) services.log.warning("{}", warning);
  error_log_.plan(config::error_log_plan(services.config.log), std::move(setup->error_log), false);
  replace_access_log(*setup);
  max_connections_ = connection_limit();
  for (const auto& [name, app] : services.config.apps) upstream(name, app);
  replace_listeners(*setup);
}

void Edge::replace_access_log(EdgeSetup& setup) {
  auto& services = *services_;
  // What was formatted for the old log goes there.
  if (!services.access_lines.empty()) access_writer_->write_line(services.access_lines);
  services.access_lines.clear();
  services.access_format = std::move(setup.access_format);
  services.access_sample.set_share(services.config.log.access_sample_ppm);
  if (!setup.access_log) {
    access_writer_.reset();
  } else {
    if (!access_writer_) {
      access_writer_ = std::make_unique<LogFan>(LogFan::Threads::kOwn, kAccessLogBytes);
    }
    access_writer_->plan(
        config::access_log_plan(services.config.log, services.access_format->drop_note()),
        std::move(setup.access_log), false);
  }
  services.access_writer = access_writer_.get();
}

// New listeners on the same sockets go on where the old ones were; a socket that no new one has is
// accepted from until its queue is empty, then closed.
void Edge::replace_listeners(EdgeSetup& setup) {
  auto before = std::exchange(listeners_, {});
  std::vector<EdgeMetrics::Certificate> certificates;
  for (std::size_t i = 0; i < setup.contexts.size(); ++i) {
    const auto& context = setup.contexts[i];
    listeners_.push_back(std::make_unique<Listener>(
        *services_, std::move(setup.sockets[i]), context,
        [this](UniqueFd socket, const std::shared_ptr<Listener::Context>& from, Peer peer) {
          return accept(std::move(socket), from, std::move(peer));
        }));
    if (!context->tls) continue;
    warn_of_expiry(*context->tls, context->config.address);
    for (const auto& expiry : context->tls->expiries()) {
      certificates.push_back({context->config.address, expiry.certificate_path, expiry.not_after});
    }
  }
  services_->metrics->certificates(certificates);
  for (auto& old : before) {
    const auto heir = std::find_if(listeners_.begin(), listeners_.end(), [&old](const auto& fresh) {
      return fresh->shares_socket_with(*old);
    });
    if (heir == listeners_.end()) {
      old->finish();
      continue;
    }
    auto& context = (*heir)->context();
    if (context.tls && old->context().tls) context.tls->share_ticket_keys(*old->context().tls);
  }
  if (!accepting_ || paused_) return;
  for (auto& listener : listeners_) listener->resume();
}

// Kept for good, also when its app is configured no more: exchanges hold on to it.
Upstream& Edge::upstream(const std::string& app, const config::App& settings) {
  auto& slot = upstreams_[app];
  if (!slot) {
    slot = std::make_unique<Upstream>(
        *services_, app, settings,
        Upstream::Events{[this](std::uint32_t id) { tell_supervisor(ipc::WorkerIdle{id}); },
                         [this](std::uint32_t id, std::string reason) {
                           tell_supervisor(ipc::WorkerLost{id, std::move(reason)});
                         },
                         [this](std::uint32_t id, std::string reason) {
                           tell_supervisor(ipc::WorkerOverdue{id, std::move(reason)});
                         }});
  }
  return *slot;
}

// Of the configuration in use, or of the one that is prepared.
const config::App* Edge::settings_of(const std::string& app) const {
  for (const config::Config* config : {&std::as_const(services_->config),
                                       prepared_ ? &std::as_const(prepared_->config) : nullptr}) {
    if (config == nullptr) continue;
    const auto found = config->apps.find(app);
    if (found != config->apps.end()) return &found->second;
  }
  return nullptr;
}

void Edge::probe(const ipc::WorkerProbe& message) {
  std::erase_if(probes_, [](const auto& probe) { return probe->is_over(); });
  for (auto& [name, upstream] : upstreams_) {
    WorkerConnection* worker = upstream->find(message.worker_id);
    if (worker == nullptr || !worker->can_send()) continue;
    probes_.push_back(std::make_unique<ReadinessProbe>(
        *services_, *upstream, *worker, message.host, message.path,
        [this, id = message.worker_id](int status) {
          tell_supervisor(ipc::WorkerProbed{id, static_cast<std::uint32_t>(status)});
        }));
    return;
  }
  tell_supervisor(ipc::WorkerProbed{message.worker_id, 0});
}

}  // namespace saola::proxy
