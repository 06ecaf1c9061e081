#include "proxy/edge_metrics.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace saola::proxy {
namespace {

using metrics::Counter;
using metrics::Gauge;
using metrics::TimeHistogram;

// Reasons come from OpenSSL's tables; a client that finds many of them gets "other".
constexpr std::size_t kMostFailureReasons = 40;

std::vector<std::uint64_t> turn_bounds() {
  return {50'000,     100'000,    250'000,     500'000,     1'000'000,   2'500'000,    5'000'000,
          10'000'000, 25'000'000, 100'000'000, 250'000'000, 500'000'000, 1'000'000'000};
}

}  // namespace

AppMetrics::AppMetrics(metrics::MetricStore& store, const metrics::TimeBounds& bounds,
                       std::string app)
    : store_(store),
      app_(std::move(app)),
      request_bytes_(store, "saola_http_request_body_bytes_total", {{"app", app_}}),
      response_bytes_(store, "saola_http_response_body_bytes_total", {{"app", app_}}),
      retries_(store, "saola_http_retries_total", {{"app", app_}}),
      queued_(store, "saola_http_queued_requests", {{"app", app_}}),
      running_(store, "saola_http_running_requests", {{"app", app_}}) {
  use(bounds);
}

void AppMetrics::use(const metrics::TimeBounds& bounds) {
  const auto histogram = [&](std::string_view name) {
    return TimeHistogram(store_, bounds, name, {{"app", app_}});
  };
  total_ = histogram("saola_http_request_duration_seconds");
  first_byte_ = histogram("saola_http_time_to_first_byte_seconds");
  queue_wait_ = histogram("saola_http_queue_wait_seconds");
  app_time_ = histogram("saola_http_app_time_seconds");
}

Counter& AppMetrics::requests(ipc::Method method, int status) {
  auto& row = requests_.at(static_cast<std::size_t>(method));
  if (!row) row = std::make_unique<std::array<std::optional<Counter>, kStatuses>>();
  const bool known = status >= 100 && status < static_cast<int>(kStatuses);
  auto& counter = (*row)[known ? static_cast<std::size_t>(status) : 0];
  if (!counter) {
    const std::string_view name = ipc::method_name(method);
    counter.emplace(store_, "saola_http_requests_total",
                    std::initializer_list<metrics::LabelView>{
                        {"app", app_},
                        {"method", name.empty() ? "other" : name},
                        {"status", known ? std::to_string(status) : "other"}});
  }
  return *counter;
}

Counter& AppMetrics::unsuccessful(std::string_view outcome) {
  const auto found = std::find_if(unsuccessful_.begin(), unsuccessful_.end(),
                                  [outcome](const auto& one) { return one.first == outcome; });
  if (found != unsuccessful_.end()) return found->second;
  return unsuccessful_
      .emplace_back(outcome, Counter(store_, "saola_http_unsuccessful_requests_total",
                                     {{"app", app_}, {"reason", outcome}}))
      .second;
}

void AppMetrics::finished(const RequestFacts& request) {
  requests(request.method, request.status).add();
  if (request.outcome != "ok") unsuccessful(request.outcome).add();
  total_.observe(request.total);
  if (request.queue_wait) queue_wait_.observe(*request.queue_wait);
  if (request.first_byte) first_byte_.observe(*request.first_byte);
  if (request.app_time) app_time_.observe(*request.app_time);
  if (request.request_bytes > 0) request_bytes_.add(request.request_bytes);
  if (request.response_bytes > 0) response_bytes_.add(request.response_bytes);
  if (request.retries > 0) retries_.add(static_cast<std::uint64_t>(request.retries));
}

void AppMetrics::sample(std::size_t queued, std::size_t running) const {
  queued_.set(static_cast<double>(queued));
  running_.set(static_cast<double>(running));
}

EdgeMetrics::EdgeMetrics(metrics::MetricStore store, metrics::TimeBounds bounds)
    : store_(std::move(store)),
      bounds_(std::move(bounds)),
      turn_bounds_(turn_bounds()),
      turn_(store_, turn_bounds_, "saola_edge_turn_seconds"),
      handshaking_(store_, "saola_connections", {{"state", "handshake"}}),
      active_(store_, "saola_connections", {{"state", "active"}}),
      idle_(store_, "saola_connections", {{"state", "idle"}}),
      paused_(store_, "saola_accept_paused"),
      spooled_(store_, "saola_spool_bytes"),
      error_lines_dropped_(store_, "saola_log_lines_dropped_total",
                           {{"process", "edge"}, {"log", "error"}}),
      access_lines_dropped_(store_, "saola_log_lines_dropped_total",
                            {{"process", "edge"}, {"log", "access"}}),
      process_(store_, "edge") {
  sample({});
}

void EdgeMetrics::use(const metrics::TimeBounds& bounds) {
  if (bounds.text() == bounds_.text()) return;
  bounds_ = bounds;
  for (auto& [name, app] : apps_) app.use(bounds_);
}

AppMetrics& EdgeMetrics::app(const std::string& name) {
  return apps_.try_emplace(name, store_, bounds_, name).first->second;
}

void EdgeMetrics::accepted(const std::string& listener) {
  auto found = accepted_.find(listener);
  if (found == accepted_.end()) {
    const Counter counter(store_, "saola_connections_accepted_total", {{"listener", listener}});
    found = accepted_.emplace(listener, counter).first;
  }
  found->second.add();
}

void EdgeMetrics::shook_hands(std::string_view version, std::string_view cipher, bool resumed) {
  std::string key = std::string(version) + ' ';
  key += cipher;
  key += resumed ? " resumed" : " full";
  auto found = handshakes_.find(key);
  if (found == handshakes_.end()) {
    const Counter counter(
        store_, "saola_tls_handshakes_total",
        {{"version", version}, {"cipher", cipher}, {"resumed", resumed ? "true" : "false"}});
    found = handshakes_.emplace(std::move(key), counter).first;
  }
  found->second.add();
}

void EdgeMetrics::handshake_failed(std::string_view reason) {
  auto found = failures_.find(reason);
  if (found == failures_.end()) {
    const std::string name(failures_.size() < kMostFailureReasons ? reason : "other");
    const Counter counter(store_, "saola_tls_handshake_failures_total", {{"reason", name}});
    found = failures_.try_emplace(name, counter).first;
  }
  found->second.add();
}

void EdgeMetrics::sample(const Sample& sample) {
  handshaking_.set(static_cast<double>(sample.handshaking));
  active_.set(static_cast<double>(sample.active));
  idle_.set(static_cast<double>(sample.idle));
  paused_.set(sample.accepting_paused ? 1 : 0);
  spooled_.set(static_cast<double>(sample.spooled_bytes));
  process_.sample();
  error_lines_dropped_.add(sample.error_lines_dropped - last_.error_lines_dropped);
  // A new access log counts from 0 again.
  access_lines_dropped_.add(sample.access_lines_dropped >= last_.access_lines_dropped
                                ? sample.access_lines_dropped - last_.access_lines_dropped
                                : sample.access_lines_dropped);
  last_ = sample;
}

void EdgeMetrics::certificates(const std::vector<Certificate>& all) {
  // What is not a number is not shown.
  for (auto& [name, gauge] : certificates_) gauge.set(std::numeric_limits<double>::quiet_NaN());
  for (const Certificate& one : all) {
    const auto [place, fresh] = certificates_.try_emplace({one.listener, one.path});
    if (fresh) {
      place->second = Gauge(store_, "saola_tls_certificate_expiry_timestamp_seconds",
                            {{"listener", one.listener}, {"certificate", one.path}});
    }
    place->second.set(static_cast<double>(
        std::chrono::duration_cast<std::chrono::seconds>(one.not_after.time_since_epoch())
            .count()));
  }
}

}  // namespace saola::proxy
