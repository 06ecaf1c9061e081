#include "common/metrics/catalog.h"

#include <algorithm>
#include <array>

namespace saola::metrics {
namespace {

using enum MetricType;

constexpr std::array kCatalog = {
    // Requests.
    MetricDescription{"saola_http_requests_total", kCounter, "app, method, status",
                      "Requests that have ended; app \"-\": no app got it; status 499: the client "
                      "went away before there was one"},
    MetricDescription{"saola_http_unsuccessful_requests_total", kCounter, "app, reason",
                      "Requests that did not end as the app meant it, by what ended them"},
    MetricDescription{"saola_http_request_duration_seconds", kHistogram, "app",
                      "From the first byte of a request to the end of its answer"},
    MetricDescription{"saola_http_time_to_first_byte_seconds", kHistogram, "app",
                      "From the first byte of a request to the head of its answer"},
    MetricDescription{"saola_http_queue_wait_seconds", kHistogram, "app",
                      "Time that a request waited at the edge for a worker"},
    MetricDescription{"saola_http_app_time_seconds", kHistogram, "app",
                      "From handing a request to a worker to the end of its answer"},
    MetricDescription{"saola_http_queued_requests", kGauge, "app",
                      "Requests that wait for a worker now"},
    MetricDescription{"saola_http_running_requests", kGauge, "app",
                      "Requests that workers have now"},
    MetricDescription{"saola_http_retries_total", kCounter, "app",
                      "Requests that were given to another worker after theirs had died"},
    MetricDescription{"saola_http_request_body_bytes_total", kCounter, "app",
                      "Bytes of request bodies, decoded"},
    MetricDescription{"saola_http_response_body_bytes_total", kCounter, "app",
                      "Bytes of response bodies, without their framing"},
    // Connections.
    MetricDescription{"saola_connections_accepted_total", kCounter, "listener",
                      "Connections accepted"},
    MetricDescription{"saola_connections", kGauge, "state",
                      "Open client connections: handshake, active, idle"},
    MetricDescription{"saola_accept_paused", kGauge, "",
                      "1 while so many connections are open that no more are accepted"},
    MetricDescription{"saola_tls_handshakes_total", kCounter, "version, cipher, resumed",
                      "TLS handshakes completed"},
    MetricDescription{"saola_tls_handshake_failures_total", kCounter, "reason",
                      "TLS handshakes that failed"},
    MetricDescription{"saola_tls_certificate_expiry_timestamp_seconds", kGauge,
                      "listener, certificate", "When a certificate in use expires, Unix time"},
    // The edge.
    MetricDescription{"saola_edge_turn_seconds", kHistogram, "",
                      "Time that one turn of the edge's event loop takes; nothing else happens "
                      "meanwhile"},
    MetricDescription{"saola_edge_restarts_total", kCounter, "",
                      "Edges that died and were replaced"},
    MetricDescription{"saola_spool_bytes", kGauge, "", "Bytes of bodies in files of spool_dir now"},
    MetricDescription{"saola_log_lines_dropped_total", kCounter, "process, log",
                      "Log lines that their file did not take fast enough"},
    // Workers.
    MetricDescription{"saola_workers", kGauge, "app, state",
                      "Worker processes: booting, ready, draining"},
    MetricDescription{"saola_workers_wanted", kGauge, "app", "Workers that the app should have"},
    MetricDescription{"saola_worker_exits_total", kCounter, "app, reason",
                      "Workers that have ended, by why: max_requests, reload, crash, oom, ..."},
    MetricDescription{"saola_app_crash_looping", kGauge, "app",
                      "1 while workers of the app keep dying before they are ready"},
    MetricDescription{"saola_worker_requests_total", kCounter, "app, worker",
                      "Requests that a worker has finished"},
    MetricDescription{"saola_worker_running_requests", kGauge, "app, worker",
                      "Requests that a worker has begun and not finished"},
    MetricDescription{"saola_worker_slots", kGauge, "app, worker",
                      "Requests that a worker runs at once (WSGI threads, ASGI concurrency)"},
    MetricDescription{"saola_worker_gc_seconds_total", kCounter, "app, worker",
                      "Time that Python's garbage collector took, all of it with the GIL held"},
    MetricDescription{"saola_worker_gc_collections_total", kCounter, "app, worker",
                      "Collections of Python's garbage collector"},
    MetricDescription{"saola_worker_generation", kGauge, "app, worker",
                      "Generation (load of the configuration) that a worker belongs to"},
    MetricDescription{"saola_worker_start_time_seconds", kGauge, "app, worker",
                      "When a worker was started, Unix time"},
    MetricDescription{"saola_worker_silence_seconds", kGauge, "app, worker",
                      "Time since a worker's last sign of life; hang_timeout is compared with it"},
    MetricDescription{"saola_worker_loop_silence_seconds", kGauge, "app, worker",
                      "Time since a worker's event loop came round or its app thread was free"},
    MetricDescription{"saola_worker_resident_memory_bytes", kGauge, "app, worker",
                      "Resident memory (RSS) of a worker"},
    MetricDescription{"saola_worker_proportional_memory_bytes", kGauge, "app, worker",
                      "Memory of a worker, shared pages by their share (PSS), where readable"},
    MetricDescription{"saola_worker_cpu_seconds_total", kCounter, "app, worker, mode",
                      "CPU time of a worker, user and system"},
    // Control plane.
    MetricDescription{"saola_reloads_total", kCounter, "result",
                      "Reloads of the configuration: success, failure"},
    MetricDescription{"saola_last_reload_successful", kGauge, "",
                      "1 if the last reload succeeded, or there was none"},
    MetricDescription{"saola_last_reload_timestamp_seconds", kGauge, "",
                      "When the configuration in use was put in place, Unix time"},
    MetricDescription{"saola_upgrades_total", kCounter, "result",
                      "Upgrades of the binary: success, failure"},
    MetricDescription{"saola_generation", kGauge, "", "Generation that serves"},
    MetricDescription{"saola_config_hash", kGauge, "",
                      "A number that differs between configurations (48 bits of a hash)"},
    MetricDescription{"saola_ready", kGauge, "", "1 if the server is ready and not draining"},
    MetricDescription{"saola_build_info", kGauge, "version", "Always 1"},
    MetricDescription{"saola_process_start_time_seconds", kGauge, "process",
                      "When a process was started, Unix time"},
    MetricDescription{"saola_process_resident_memory_bytes", kGauge, "process",
                      "Resident memory (RSS) of a process other than workers"},
    MetricDescription{"saola_process_cpu_seconds_total", kCounter, "process, mode",
                      "CPU time of a process other than workers, user and system"},
    MetricDescription{"saola_process_open_fds", kGauge, "process", "Open descriptors"},
    MetricDescription{"saola_process_max_fds", kGauge, "process", "Limit of open descriptors"},
    // The metrics themselves.
    MetricDescription{"saola_metrics_refused_total", kCounter, "store",
                      "Series that did not fit into a store; \"server\", or an app's name"},
    MetricDescription{"saola_app_metrics_dropped", kGauge, "",
                      "Series of apps that this scrape could not show: names of Saola's own or of "
                      "another family"},
    MetricDescription{"saola_metrics_store_bytes", kGauge, "store, kind",
                      "Size of a store of metrics: used, total"},
};

}  // namespace

std::span<const MetricDescription> catalog() { return kCatalog; }

const MetricDescription* describe(std::string_view name) {
  const auto* const found =
      std::find_if(kCatalog.begin(), kCatalog.end(),
                   [name](const MetricDescription& one) { return one.name == name; });
  return found == kCatalog.end() ? nullptr : found;
}

}  // namespace saola::metrics
