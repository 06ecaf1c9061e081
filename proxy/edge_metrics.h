// EdgeMetrics: what the edge counts, in the server's MetricStore (names and meanings:
// common/metrics/catalog.cc, docs/metrics.md). The loop's thread; a request costs some ten relaxed
// atomic additions, no lock, no allocation once its series exist.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/ipc/header_names.h"
#include "common/metrics/instruments.h"
#include "common/metrics/process_metrics.h"

namespace saola::proxy {

// One request that has ended.
struct RequestFacts {
  ipc::Method method = ipc::Method::kOther;
  int status = 0;
  std::string_view outcome;  // of Exchange: one of a few literals
  std::chrono::nanoseconds total{0};
  // Nothing: no worker had it, or it sent no head.
  std::optional<std::chrono::nanoseconds> queue_wait;
  std::optional<std::chrono::nanoseconds> first_byte;
  std::optional<std::chrono::nanoseconds> app_time;
  std::uint64_t request_bytes = 0;  // of bodies
  std::uint64_t response_bytes = 0;
  int retries = 0;
};

// Of one app, or of the requests that no app gets.
class AppMetrics {
 public:
  AppMetrics(metrics::MetricStore& store, const metrics::TimeBounds& bounds, std::string app);

  void use(const metrics::TimeBounds& bounds);
  void finished(const RequestFacts& request);
  void sample(std::size_t queued, std::size_t running) const;

 private:
  static constexpr std::size_t kStatuses = 600;

  metrics::Counter& requests(ipc::Method method, int status);
  metrics::Counter& unsuccessful(std::string_view outcome);

  metrics::MetricStore& store_;
  const std::string app_;
  std::array<std::unique_ptr<std::array<std::optional<metrics::Counter>, kStatuses>>,
             ipc::kMethodCount>
      requests_;
  std::vector<std::pair<std::string_view, metrics::Counter>> unsuccessful_;
  metrics::TimeHistogram total_, first_byte_, queue_wait_, app_time_;
  metrics::Counter request_bytes_, response_bytes_, retries_;
  metrics::Gauge queued_, running_;
};

class EdgeMetrics {
 public:
  EdgeMetrics(metrics::MetricStore store, metrics::TimeBounds bounds);

  // Latencies are counted into these buckets from now on.
  void use(const metrics::TimeBounds& bounds);

  // Stays for good.
  AppMetrics& app(const std::string& name);
  AppMetrics& without_app() { return app("-"); }

  void accepted(const std::string& listener);
  void shook_hands(std::string_view version, std::string_view cipher, bool resumed);
  // `reason`: OpenSSL's, or ours.
  void handshake_failed(std::string_view reason);
  void turned(std::chrono::nanoseconds took) const { turn_.observe(took); }

  // Once a second.
  struct Sample {
    std::size_t handshaking = 0, active = 0, idle = 0;  // connections
    bool accepting_paused = false;
    std::uint64_t spooled_bytes = 0;
    std::uint64_t error_lines_dropped = 0;  // since the process started
    std::uint64_t access_lines_dropped = 0;
  };
  void sample(const Sample& sample);

  struct Certificate {
    std::string listener;
    std::string path;
    std::chrono::system_clock::time_point not_after;
  };
  // Of the configuration in use; what is not named any more goes.
  void certificates(const std::vector<Certificate>& all);

 private:
  metrics::MetricStore store_;
  metrics::TimeBounds bounds_;
  std::map<std::string, AppMetrics, std::less<>> apps_;
  std::map<std::string, metrics::Counter, std::less<>> accepted_;
  std::map<std::string, metrics::Counter, std::less<>> handshakes_;
  std::map<std::string, metrics::Counter, std::less<>> failures_;
  std::map<std::pair<std::string, std::string>, metrics::Gauge> certificates_;
  const metrics::TimeBounds turn_bounds_;
  metrics::TimeHistogram turn_;
  metrics::Gauge handshaking_, active_, idle_, paused_, spooled_;
  metrics::Counter error_lines_dropped_, access_lines_dropped_;
  metrics::ProcessMetrics process_;
  Sample last_;
};

}  // namespace saola::proxy
