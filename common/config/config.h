// The configuration as plain values: what the file, the environment and the flags came to. Defaults
// are the product's defaults; docs/configuration.md is checked against the table in
// config_schema.cc that fills these. No parsing here. A Config in use is never edited; a reload
// builds a new one.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/core/log.h"

namespace saola::config {

using Milliseconds = std::chrono::milliseconds;  // 0 means "off" where a key says so

struct Certificate {
  std::string certificate;        // path, PEM chain, leaf first
  std::string key;                // path, PEM
  std::string key_password_file;  // path; empty: none
  bool operator==(const Certificate&) const = default;
};

enum class TlsVersion { kTls12, kTls13 };
enum class UnknownHost {
  kDefault,
  kMisdirected
};  // SNI or Host that no certificate names: serve, or 421

struct Tls {
  std::vector<Certificate> certificates;  // first is the default
  TlsVersion min_version = TlsVersion::kTls12;
  std::string ciphers;       // TLS 1.2, OpenSSL list; empty: modern default
  std::string ciphersuites;  // TLS 1.3; empty: OpenSSL's
  std::string groups;        // key exchange groups; empty: X25519:P-256:P-384
  UnknownHost unknown_host = UnknownHost::kDefault;
  Milliseconds session_timeout{std::chrono::hours(24)};
  bool session_tickets = true;
  bool operator==(const Tls&) const = default;
};

// Where the client's address comes from when the peer is trusted.
enum class Forwarded { kOff, kXForwarded, kRfc7239, kProxyProtocol };

struct Listen {
  std::string address = "127.0.0.1:8000";  // host:port, [v6]:port, unix:PATH, fd:N
  std::optional<Tls> tls;
  std::vector<std::string>
      protocols;  // ALPN, in order of preference; empty: all that are supported
  Forwarded forwarded = Forwarded::kOff;
  std::vector<std::string>
      trusted;                  // networks (CIDR) whose forwarded information is believed; "unix"
  bool redirect_https = false;  // plain listener: 308 to https
  std::uint16_t redirect_port = 443;
  int backlog = 2048;
  int mode = 0660;  // of a Unix socket
  bool ipv6_only = true;
  bool operator==(const Listen&) const = default;
};

enum class Interface { kAuto, kWsgi, kAsgi };
enum class Lifespan { kAuto, kOn, kOff };
enum class AsyncLoop { kAuto, kAsyncio, kUvloop };

struct App {
  std::string target;  // module:attribute, module:attr.sub, module:factory()
  std::string directory = ".";
  std::string venv;  // path; empty: VIRTUAL_ENV, or none
  std::vector<std::string> pythonpath;
  std::map<std::string, std::string> env;
  Interface interface = Interface::kAuto;
  bool factory = false;   // the target is called, without arguments, to make the app
  std::string root_path;  // ASGI root_path, WSGI SCRIPT_NAME
  int workers = 0;        // 0: "auto"
  int workers_max = 0;  // above `workers`: their number follows the load between the two; 0: fixed
  int threads = 1;      // WSGI
  int concurrency = 1000;  // ASGI requests in flight per worker
  int prefetch = 16;       // requests sent to a busy worker ahead of time
  AsyncLoop loop = AsyncLoop::kAuto;
  Lifespan lifespan = Lifespan::kAuto;
  Milliseconds boot_timeout{std::chrono::seconds(60)};
  int queue_limit = 2048;                                // requests that wait in the edge
  Milliseconds queue_timeout{std::chrono::seconds(30)};  // deadline of a waiting request: 503
  std::string process_name;
  // Recycling: a worker that reaches one of these is replaced. 0: off.
  std::uint64_t max_requests = 0;
  std::uint64_t max_requests_jitter = 0;
  std::uint64_t max_memory = 0;  // bytes
  Milliseconds max_age{0};
  int recycle_concurrency = 1;  // workers of this app that are being recycled at a time
  int boot_concurrency = 1;     // workers that boot at a time while others serve
  std::string ready_path;       // must answer 2xx before a new worker serves; empty: no probe
  bool preload = false;         // import once, fork the workers
  // Time-outs (docs/timeouts.md). 0: off.
  Milliseconds hang_timeout{std::chrono::seconds(30)};     // no sign of life; costs the worker
  Milliseconds request_timeout{std::chrono::seconds(60)};  // to the head, then between chunks; 504
  Milliseconds request_max_time{0};                        // a whole request; 504
  Milliseconds sync_max_time{0};  // request_max_time where a worker runs one WSGI request at a time
  Milliseconds timeout_grace{std::chrono::seconds(5)};  // from 504 to the loss of the worker
  Milliseconds slow_request{0};                         // then its stack goes to the log, once
  std::string hooks;                                    // module with gunicorn's hooks; empty: none
  std::uint64_t metrics_memory = std::uint64_t{8}
                                 << 20U;  // bytes; 0: prometheus_client is left alone
  bool operator==(const App&) const = default;
};

struct Route {
  std::string host;        // exact, "*.example.com", or empty: any
  std::string path = "/";  // prefix if it ends with '/', else exact
  std::string app;         // name in apps; empty: the only one
  std::string redirect;    // location; {host} and {uri} are replaced
  int redirect_status = 308;
  std::optional<std::uint64_t> max_body;         // bytes; overrides limits.body
  bool strip_prefix = false;                     // the prefix becomes SCRIPT_NAME / root_path
  std::optional<Milliseconds> request_timeout;   // overrides the app's
  std::optional<Milliseconds> request_max_time;  // overrides the app's
  bool access_log = true;                        // false: its requests have no line there
  bool operator==(const Route&) const = default;
};

struct Limits {
  // Sizes in bytes, counts, and the status that answers what is over.
  std::uint64_t request_line = 8190;           // 414
  std::uint64_t header_count = 100;            // 431
  std::uint64_t header_field = 8190;           // 431, one field's name and value
  std::uint64_t header_bytes = 64 * 1024;      // 431, all fields
  std::uint64_t body = 1024ULL * 1024 * 1024;  // 413; 0: no limit
  std::uint64_t body_buffer = 64 * 1024;       // of a request in memory; the rest is spooled (WSGI)
  std::uint64_t response_buffer = 1024 * 1024;  // of one response in memory for a slow reader
  std::uint64_t response_spool =
      1024ULL * 1024 * 1024;  // then on disk (WSGI), then back-pressure; 0: off
  std::uint64_t spool_total = 16ULL * 1024 * 1024 * 1024;  // 503 for requests beyond it
  std::uint64_t connections = 0;                           // accept pauses; 0: by descriptors
  std::uint64_t keepalive_requests = 10000;                // per connection; 0: no limit
  std::uint64_t body_min_rate = 0;  // bytes/second, averaged after 10 s: 408; 0: off
  Milliseconds handshake_timeout{std::chrono::seconds(15)};  // close
  Milliseconds header_timeout{std::chrono::seconds(30)};     // 408
  Milliseconds body_timeout{std::chrono::seconds(60)};       // between two reads of a body: 408
  Milliseconds body_total_timeout{0};                        // whole body: 408; 0: off
  Milliseconds keepalive_timeout{std::chrono::seconds(75)};  // idle: close
  Milliseconds write_timeout{std::chrono::seconds(60)};  // no progress towards the client: close
  Milliseconds linger_timeout{std::chrono::seconds(5)};  // lingering close after a refused request
  int retries = 1;  // of a claimed, idempotent request whose worker died
  bool operator==(const Limits&) const = default;
};

enum class ErrorFormat { kText, kJson };

struct Log {
  LogLevel level = LogLevel::kInfo;
  std::string error = "-";  // path, "-" (standard error), or empty: no file (syslog, journald)
  ErrorFormat error_format = ErrorFormat::kText;  // of the file
  std::string access;                             // path, "-" (standard output), or empty: no file
  std::string access_format = "combined";         // combined, json, or gunicorn's atoms: %(h)s ...
  std::uint32_t access_sample_ppm = 1'000'000;    // of the requests below 500 in the access log
  std::vector<std::string> redact;                // "authorization", "cookies", "query"
  // Beside the files. The lists say which logs go there: "error", "access".
  std::string syslog;  // address (log_plan.h); empty: off
  std::vector<std::string> syslog_logs{"error", "access"};
  std::string syslog_facility = "daemon";
  std::string syslog_tag = "saola";  // {log} is replaced
  std::string journald;              // path of its socket; empty: off
  std::vector<std::string> journald_logs{"error", "access"};
  bool operator==(const Log&) const = default;
};

struct Server {
  std::string user;
  std::string group;
  std::string runtime_dir;  // empty: no pid file, no lock, no control socket
  std::string pid_file;
  std::string control_socket;      // path; empty: see control_socket_path.h; "off": none
  int control_socket_mode = 0600;  // whoever else may open it, only root and our uid are answered
  std::string spool_dir = "/var/tmp";
  Milliseconds graceful_timeout{std::chrono::seconds(30)};
  Milliseconds stream_drain_timeout{std::chrono::seconds(30)};  // for long streams; see reload
  Milliseconds drain_delay{0};  // from "not ready" to the drain, for load balancers
  Milliseconds edge_hang_timeout{std::chrono::seconds(30)};  // no sign of life; costs the edge
  std::string server_header = "saola";                       // empty: no Server field
  int umask = 022;
  bool operator==(const Server&) const = default;
};

// Metrics, health and status, on an address of their own.
struct Admin {
  // Taken if it is free: several servers run on one machine without being told about each other.
  static constexpr const char* kDefaultAddress = "127.0.0.1:9180";

  std::string listen = kDefaultAddress;  // empty: off
  std::string certificate;               // path, PEM; empty: no TLS
  std::string key;
  std::string key_password_file;
  std::string token_file;          // path; its first line is the bearer token; empty: none is asked
  std::vector<std::string> hosts;  // names that a request's Host may have beside addresses
  std::vector<std::string> latency_buckets = {"500us", "1ms",   "2.5ms", "5ms",   "10ms", "25ms",
                                              "50ms",  "100ms", "250ms", "500ms", "1s",   "2.5s",
                                              "5s",    "10s",   "30s",   "60s"};
  bool operator==(const Admin&) const = default;
};

struct Config {
  std::string path;             // of the file, empty in drop-in mode
  std::string directory = ".";  // absolute; relative paths start here
  Server server;
  std::vector<Listen> listen;
  std::map<std::string, App> apps;  // [app] is apps["app"]
  std::vector<Route> routes;        // empty: everything to the only app
  Limits limits;
  Log log;
  Admin admin;
  bool operator==(const Config&) const = default;
};

}  // namespace saola::config
