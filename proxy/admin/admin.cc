#include "proxy/admin/admin.h"

#include <fmt/format.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <bit>
#include <iterator>
#include <utility>

#include "common/config/config_loader.h"
#include "common/config/latency_buckets.h"
#include "common/metrics/app_metrics.h"
#include "common/metrics/app_places.h"
#include "common/metrics/app_prometheus.h"
#include "common/metrics/series_key.h"
#include "common/metrics/time_bounds.h"

namespace saola::proxy {
namespace {

// For the answers that are on their way when it is told to go.
constexpr std::chrono::milliseconds kLastAnswers{500};

}  // namespace

Result<AdminSetup> make_admin_setup(const ipc::AdminInit& init, std::vector<UniqueFd> fds) {
  constexpr std::size_t kFixed = 4;
  if (fds.size() != kFixed + init.listeners + init.apps.size()) {
    return fail("the admin process got other descriptors than it was told");
  }
  const auto text = ipc::read_memory_file(fds[0]);
  if (!text) return Unexpected{text.error()};
  auto start = ipc::parse_admin_start(*text);
  if (!start) return Unexpected{start.error()};
  auto config = config::load_config({start->config_dir + "/saola.toml", start->config_toml, {}});
  if (!config) return fail("configuration: " + config::to_string(config.error().front()));
  auto scoreboard = ipc::Scoreboard::map(fds[1]);
  if (!scoreboard) return Unexpected{scoreboard.error()};
  auto metrics = metrics::MetricStore::map(fds[2]);
  if (!metrics) return Unexpected{metrics.error()};
  AdminSetup setup{*std::move(config),     std::move(start->token), nullptr, std::move(fds[3]),
                   *std::move(scoreboard), *std::move(metrics),     {},      {}};
  if (!start->key_pairs.empty()) {
    auto tls = TlsContext::create(config::Tls{}, {"http/1.1"}, start->key_pairs);
    if (!tls) return fail("[admin] " + tls.error().message);
    setup.tls = *std::move(tls);
  }
  auto next = fds.begin() + kFixed;
  for (std::uint32_t i = 0; i < init.listeners; ++i) setup.sockets.push_back(std::move(*next++));
  for (const auto& app : init.apps) {
    UniqueFd file = std::move(*next++);
    auto store = metrics::MetricStore::map_to_read(file);
    if (store) setup.apps.emplace(app, AppStore{std::move(file), *std::move(store)});
  }
  return setup;
}

Admin::Admin(EventLoop& loop, ipc::ControlChannel& control, LogFan& error_log, AdminSetup setup)
    : loop_(loop),
      control_(control),
      error_log_(error_log),
      log_(error_log_, "admin", setup.config.log.level),
      store_(std::move(setup.metrics)),
      app_stores_(std::move(setup.apps)),
      bounds_(metrics::TimeBounds(config::latency_bounds(setup.config.admin)).text()),
      board_(std::move(setup.scoreboard),
             [this] {
               std::vector<std::string> names;
               for (const auto& [name, store] : app_stores_) names.push_back(name);
               return names;
             }()),
      process_(store_, "admin"),
      server_(loop, *this, {std::move(setup.token), setup.config.admin.hosts},
              std::move(setup.tls)),
      control_watcher_(
          loop, control.fd(), [](void* self, short) { static_cast<Admin*>(self)->on_control(); },
          this),
      leave_timer_(
          loop, [](void* self) { static_cast<Admin*>(self)->loop_.stop(); }, this) {}

Admin::~Admin() = default;

void Admin::start(std::vector<UniqueFd> sockets) {
  control_watcher_.watch(IoWatcher::kRead);
  for (UniqueFd& socket : sockets) {
    if (auto listens = server_.listen(std::move(socket)); !listens) {
      exit_code_ = 1;
      tell_supervisor(ipc::BootFailed{listens.error().message, false});
      return loop_.stop();
    }
  }
  tell_supervisor(ipc::Ready{});
}

int Admin::run() {
  loop_.run();
  return exit_code_;
}

// ---- what is shown -----------------------------------------------------------------------------

std::string Admin::metrics() {
  process_.sample();
  Families families;
  families.add_store(store_, bounds_);
  board_.add_to(families, std::chrono::steady_clock::now());
  const auto describe_store = [&families](const std::string& name,
                                          const metrics::MetricStore& store) {
    families.add("saola_metrics_refused_total", {{"store", name}},
                 static_cast<double>(store.refused()));
    families.add("saola_metrics_store_bytes", {{"store", name}, {"kind", "used"}},
                 static_cast<double>(store.used_bytes()));
    families.add("saola_metrics_store_bytes", {{"store", name}, {"kind", "total"}},
                 static_cast<double>(store.total_bytes()));
  };
  describe_store("server", store_);
  for (const auto& [name, app] : app_stores_) describe_store("app " + name, app.store);
  std::uint64_t dropped = 0;
  auto theirs = of_apps(dropped);
  families.add("saola_app_metrics_dropped", {}, static_cast<double>(dropped));
  auto all = families.take();
  std::move(theirs.begin(), theirs.end(), std::back_inserter(all));
  return prometheus::TextSerializer().Serialize(all);
}

// What the applications count with prometheus_client.
std::vector<prometheus::MetricFamily> Admin::of_apps(std::uint64_t& dropped) const {
  std::map<std::string, metrics::AppMetrics> all;
  for (const auto& [name, app] : app_stores_) {
    all[name] = metrics::aggregate(metrics::read_app_series(app.store, app.file));
  }
  const auto shown = metrics::exposable(std::move(all));
  dropped = shown.dropped;
  return metrics::to_prometheus(shown);
}

double Admin::gauge(std::string_view name) const {
  double value = 0;
  const std::string key = metrics::encode_key(name, {});
  store_.for_each([&](const metrics::SeriesView& series) {
    if (series.kind == metrics::SeriesKind::kGauge && series.key == key) {
      value = std::bit_cast<double>(series.words.front());
    }
  });
  return value;
}

// Ready: the supervisor says so (not starting, not draining), and each app has a worker.
AdminServer::Readiness Admin::readiness(std::string_view app) {
  const bool serving = gauge("saola_ready") == 1;
  AdminServer::Readiness out{serving,
                             serving ? "serving\n" : "not serving: starting or draining\n"};
  std::map<std::string, std::pair<int, int>> workers;  // ready, all
  for (const auto& [name, store] : app_stores_) workers[name] = {};
  for (const WorkerView& worker : board_.workers()) {
    auto& [ready, all] = workers[worker.app];
    ++all;
    if (worker.phase == ipc::WorkerPhase::kReady) ++ready;
  }
  if (!app.empty() && !workers.contains(std::string(app))) {
    return {false, "there is no app of this name\n"};
  }
  for (const auto& [name, counts] : workers) {
    if (!app.empty() && name != app) continue;
    out.text += fmt::format("app {}: {} of {} workers ready\n", name, counts.first, counts.second);
    if (counts.first == 0) out.ready = false;
  }
  return out;
}

void Admin::ask_status(std::uint32_t ask) { tell_supervisor(ipc::AdminAsk{ask}); }

// ---- the supervisor ----------------------------------------------------------------------------

void Admin::tell_supervisor(const ipc::ControlMessage& message) {
  if (const auto sent = control_.send(ipc::to_json(message)); !sent) {
    log_.error("control channel: {}", sent.error().message);
    exit_code_ = 1;
    return loop_.stop();
  }
  control_watcher_.watch(static_cast<short>(
      IoWatcher::kRead | (control_.wants_write() ? IoWatcher::kWrite : short{0})));
}

void Admin::on_control() {
  if (control_.wants_write()) {
    if (!control_.flush()) return loop_.stop();
    if (!control_.wants_write()) control_watcher_.watch(IoWatcher::kRead);
  }
  for (;;) {
    auto received = control_.receive();
    if (!received || received->closed) {
      exit_code_ = 1;
      return loop_.stop();
    }
    if (received->again) return;
    const auto message = ipc::parse_control_message(received->text);
    if (!message) {
      log_.error("control channel: {}", message.error().message);
      continue;
    }
    handle(*message, std::move(received->fds));
  }
}

void Admin::handle(const ipc::ControlMessage& message, std::vector<UniqueFd> fds) {
  if (const auto* status = std::get_if<ipc::AdminStatus>(&message)) {
    const auto text =
        fds.empty() ? Result<std::string>(fail("no status came")) : ipc::read_memory_file(fds[0]);
    if (!text) return log_.error("status: {}", text.error().message);
    return server_.give_status(status->ask, *text);
  }
  if (std::holds_alternative<ipc::ReopenLogs>(message)) {
    if (!fds.empty()) error_log_.reopen(std::move(fds[0]));
    return;
  }
  if (std::holds_alternative<ipc::Drain>(message)) {
    server_.stop_listening();
    return leave_timer_.start(kLastAnswers);
  }
  if (std::holds_alternative<ipc::Stop>(message)) return loop_.stop();
  log_.error("control channel: a message not for an admin process");
}

}  // namespace saola::proxy
