#include "common/config/config_schema.h"

#include "common/config/child_types.h"
#include "common/config/key_types.h"

// The table. Each entry: name, member, what is allowed, one line of help. Order is the order of
// conf/saola.toml and of the reference.

namespace saola::config {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::uint64_t kKiB = 1024;
constexpr std::uint64_t kMiB = 1024 * kKiB;
constexpr std::uint64_t kGiB = 1024 * kMiB;
constexpr std::uint64_t kTiB = 1024 * kGiB;
constexpr std::uint64_t kMillion = 1'000'000;

const Value kOffText{std::string("off")};
const Value kZero{std::int64_t{0}};
const Value kFalse{false};

const Table& server_table() {
  static const Table table{
      "[server]",
      "The process itself.",
      {
          text("user", &Server::user, "user that edge and workers run as, if started as root"),
          text("group", &Server::group, "their group; empty: the user's own"),
          path("runtime_dir", &Server::runtime_dir,
               "directory of the pid file, the lock and the control socket; empty: none of them"),
          path("pid_file", &Server::pid_file,
               "file with the supervisor's process id; empty: in runtime_dir, if that is set"),
          path("control_socket", &Server::control_socket,
               "socket for saola status, reload, stop ...; off: none; empty: saola.sock in "
               "runtime_dir, else in /run/saola (root) or $XDG_RUNTIME_DIR/saola"),
          mode("control_socket_mode", &Server::control_socket_mode,
               "permissions of that socket; only root and the server's user are answered"),
          path("spool_dir", &Server::spool_dir,
               "directory for bodies that do not fit in memory; files have no names"),
          duration("graceful_timeout", &Server::graceful_timeout,
                   {milliseconds(0), hours(24), Zero::kAtOnce},
                   "how long requests may take to finish when the server or a worker stops"),
          duration("stream_drain_timeout", &Server::stream_drain_timeout,
                   {milliseconds(0), hours(24 * 7), Zero::kAtOnce},
                   "the same for answers that have begun, when a worker is replaced"),
          duration("drain_delay", &Server::drain_delay, {milliseconds(0), hours(1), Zero::kAtOnce},
                   "from \"not ready\" (/readyz) to the graceful stop, for load balancers"),
          duration("edge_hang_timeout", &Server::edge_hang_timeout,
                   {seconds(2), hours(24), Zero::kOff},
                   "an edge without a sign of life for so long is replaced"),
          text("server_header", &Server::server_header,
               "value of the Server response field; empty: no such field", check_field_value),
          mode("umask", &Server::umask, "mask of new files"),
          not_yet("edge_user", "the edge would run as the same user as the app", {}),
      },
      {},
      make_default<Server>};
  return table;
}

// Keys of the first certificate stand in the tls table itself, more in [[listen.certificates]].
Certificate& first_certificate(Tls& tls) {
  if (tls.certificates.empty()) tls.certificates.emplace_back();
  return tls.certificates.front();
}

Key first_certificate_key(const char* name, std::string Certificate::*member, const char* help) {
  return text_key(name, "a path", help, check_nothing,
                  {[member](void* tls, std::string text) {
                     first_certificate(*static_cast<Tls*>(tls)).*member = std::move(text);
                   },
                   [member](const void* tls) {
                     const auto& certificates = static_cast<const Tls*>(tls)->certificates;
                     return certificates.empty() ? std::string() : certificates.front().*member;
                   }});
}

const Table& tls_table() {
  static const Table table{
      "[listen.tls]",
      "TLS on this listener; also written in one line: tls = { certificate = ..., key = ... }.",
      {
          first_certificate_key("certificate", &Certificate::certificate,
                                "certificate chain, PEM, the server's own first"),
          first_certificate_key("key", &Certificate::key,
                                "private key, PEM; read before root is given up"),
          first_certificate_key("key_password_file", &Certificate::key_password_file,
                                "file whose first line decrypts the key; empty: not encrypted"),
          choice<TlsVersion>("min_version", &Tls::min_version,
                             {{"1.2", TlsVersion::kTls12}, {"1.3", TlsVersion::kTls13}},
                             "oldest TLS version that is accepted"),
          text("ciphers", &Tls::ciphers,
               "TLS 1.2 ciphers, OpenSSL's notation; empty: a modern list"),
          text("ciphersuites", &Tls::ciphersuites, "TLS 1.3 cipher suites; empty: OpenSSL's"),
          text("groups", &Tls::groups, "key exchange groups; empty: X25519:P-256:P-384"),
          choice<UnknownHost>(
              "unknown_host", &Tls::unknown_host,
              {{"default", UnknownHost::kDefault}, {"misdirected", UnknownHost::kMisdirected}},
              "a host that no certificate names: serve it with the first one, or answer 421"),
          duration("session_timeout", &Tls::session_timeout, {seconds(1), hours(7 * 24)},
                   "how long a client may resume a session"),
          flag("session_tickets", &Tls::session_tickets,
               "resumption without state on the server, with keys that rotate"),
          not_yet("client_ca", "client certificates would not be checked", {Value(std::string())}),
          not_yet("client_verify", "client certificates would not be checked", {kOffText, kFalse}),
      },
      {},
      make_default<Tls>};
  return table;
}

const Table& certificates_table() {
  static const Table table{
      "[[listen.certificates]]",
      "More certificates of a TLS listener: other host names, or the same with another key type.",
      {
          path("certificate", &Certificate::certificate, "certificate chain, PEM"),
          path("key", &Certificate::key, "private key, PEM"),
          path("key_password_file", &Certificate::key_password_file,
               "file whose first line decrypts the key; empty: not encrypted"),
      },
      {},
      make_default<Certificate>};
  return table;
}

const Table& listen_table() {
  static const Table table{
      "[[listen]]",
      "A listening socket; repeat it for more. Without any: the default address, plain.",
      {
          address(
              "address", &Listen::address,
              "host:port, [IPv6]:port, :port (every IPv4 address), unix:PATH, fd:N (inherited) or "
              "systemd:NAME (socket activation)"),
          words("protocols", &Listen::protocols, {"http/1.1", "h2"},
                "offered by ALPN, in order of preference; empty: all that are supported"),
          choice<Forwarded>("forwarded", &Listen::forwarded,
                            {{"off", Forwarded::kOff},
                             {"x-forwarded", Forwarded::kXForwarded},
                             {"rfc7239", Forwarded::kRfc7239},
                             {"proxy-protocol", Forwarded::kProxyProtocol}},
                            "where a trusted proxy tells the client's address"),
          list("trusted", &Listen::trusted, "a list of networks",
               "proxies that are believed: networks, \"unix\" (Unix sockets), \"*\" (everyone)",
               check_trusted),
          flag("redirect_https", &Listen::redirect_https,
               "answer every request with a redirect (308) to https; for a plain listener"),
          number("redirect_port", &Listen::redirect_port, {1, 65535},
                 "port of the redirect's target"),
          number("backlog", &Listen::backlog, {1, 65535}, "connections that wait to be accepted"),
          mode("mode", &Listen::mode, "permissions of a Unix socket"),
          flag("ipv6_only", &Listen::ipv6_only, "an IPv6 socket takes no IPv4 connections"),
      },
      {
          optional_child("tls", tls_table, &Listen::tls),
          certificates_child("certificates", certificates_table),
      },
      make_default<Listen>};
  return table;
}

const Table& app_table() {
  static const Table table{
      "[app]",
      "The application. Several applications: [apps.NAME] for each, and [[route]] to tell them "
      "apart.",
      {
          text("target", &App::target,
               "module:attribute, module:attribute.sub or module:factory(); must be set"),
          path("directory", &App::directory, "working directory, first on the module path"),
          path("venv", &App::venv, "virtual environment; empty: VIRTUAL_ENV, or none"),
          list("pythonpath", &App::pythonpath, "a list of directories",
               "more directories of modules"),
          choice<Interface>(
              "interface", &App::interface,
              {{"auto", Interface::kAuto}, {"wsgi", Interface::kWsgi}, {"asgi", Interface::kAsgi}},
              "auto looks at the application"),
          flag("factory", &App::factory,
               "the target is called, without arguments, to make the app"),
          text("root_path", &App::root_path, "ASGI root_path, WSGI SCRIPT_NAME"),
          worker_count("workers", &App::workers, &App::workers_max,
                       "processes; auto follows the CPUs and the cgroup's quota; { min = 2, max = "
                       "8 } follows the load"),
          number("threads", &App::threads, {1, 1024}, "requests at a time in one worker (WSGI)"),
          number("concurrency", &App::concurrency, {1, 50'000},
                 "requests at a time in one worker (ASGI)"),
          number("prefetch", &App::prefetch, {0, 1024},
                 "requests sent ahead to a busy worker; taken back when another one idles"),
          choice<AsyncLoop>("loop", &App::loop,
                            {{"auto", AsyncLoop::kAuto},
                             {"asyncio", AsyncLoop::kAsyncio},
                             {"uvloop", AsyncLoop::kUvloop}},
                            "event loop (ASGI); auto: uvloop if it can be imported"),
          choice<Lifespan>(
              "lifespan", &App::lifespan,
              {{"auto", Lifespan::kAuto}, {"on", Lifespan::kOn}, {"off", Lifespan::kOff}},
              "ASGI lifespan; on: an app without it is an error"),
          duration("boot_timeout", &App::boot_timeout, {milliseconds(100), hours(24)},
                   "how long a worker may take until it is ready"),
          number("queue_limit", &App::queue_limit, {0, 1'000'000},
                 "requests that wait for a worker; more are answered 503"),
          duration("queue_timeout", &App::queue_timeout, {milliseconds(1), hours(24)},
                   "how long one waits; then 503"),
          text("process_name", &App::process_name,
               "shown in process titles; empty: the app's name"),
          number("max_requests", &App::max_requests, {0, 1'000'000'000},
                 "a worker is replaced after so many requests; 0: never"),
          number("max_requests_jitter", &App::max_requests_jitter, {0, 1'000'000'000},
                 "up to so many more, at random, per worker"),
          size("max_memory", &App::max_memory, {kMiB, kTiB, Zero::kOff},
               "a worker that uses more is replaced (PSS where it can be read, else RSS)"),
          duration("max_age", &App::max_age, {seconds(1), hours(24 * 365), Zero::kOff},
                   "a worker that is older is replaced"),
          number("recycle_concurrency", &App::recycle_concurrency, {1, 1024},
                 "workers of this app that are being replaced at a time"),
          number("boot_concurrency", &App::boot_concurrency, {1, 1024},
                 "workers that import the app at a time while others serve"),
          text("ready_path", &App::ready_path,
               "must answer 2xx before a new worker of a reload serves; empty: no probe",
               check_ready_path),
          flag("preload", &App::preload, "import the app once and fork the workers from it"),
          duration("hang_timeout", &App::hang_timeout, {seconds(1), hours(24), Zero::kOff},
                   "a worker without a sign of life for so long is replaced"),
          duration("request_timeout", &App::request_timeout,
                   {milliseconds(10), hours(24), Zero::kOff},
                   "from the start of a request to the head of its answer, then between parts of "
                   "it; 504"),
          duration("request_max_time", &App::request_max_time,
                   {milliseconds(10), hours(24 * 7), Zero::kOff}, "a whole request; 504"),
          duration("sync_max_time", &App::sync_max_time,
                   {milliseconds(10), hours(24 * 7), Zero::kOff},
                   "request_max_time of a WSGI app with threads = 1, where that is off: what "
                   "gunicorn's --timeout means to a sync worker"),
          duration("timeout_grace", &App::timeout_grace, {milliseconds(10), hours(24)},
                   "a request that ignores its time-out for so long costs its worker"),
          duration("slow_request", &App::slow_request, {milliseconds(10), hours(24), Zero::kOff},
                   "over it, what the request is doing goes to the error log, once"),
          text("hooks", &App::hooks, "module with gunicorn's server hooks; empty: none"),
          size("metrics_memory", &App::metrics_memory, {64 * kKiB, kGiB, Zero::kOff},
               "room for what the app counts with prometheus_client, for all workers together; "
               "off: each worker counts for itself"),
          map("env", &App::env, "environment variables of the workers"),
      },
      {},
      make_default<App>};
  return table;
}

const Table& route_table() {
  static const Table table{
      "[[route]]",
      "What answers which requests; the first that matches wins. Without any: the only app, "
      "everything.",
      {
          text("host", &Route::host, "exact, *.example.com, or empty: any", check_route_host),
          text("path", &Route::path, "a prefix if it ends with /, else the exact path",
               check_route_path),
          text("app", &Route::app, "name of an application; empty: the only one"),
          text("redirect", &Route::redirect,
               "redirect to this location instead; {host} and {uri} are replaced",
               check_field_value),
          number_of("redirect_status", &Route::redirect_status, {301, 302, 303, 307, 308},
                    "status of the redirect"),
          optional_size("max_body", &Route::max_body, {0, kTiB, Zero::kOff},
                        "largest request body here; not set: limits.body", "\"8MiB\""),
          flag("strip_prefix", &Route::strip_prefix,
               "mount the app at the prefix, which becomes SCRIPT_NAME (WSGI) or root_path (ASGI)"),
          optional_duration("request_timeout", &Route::request_timeout,
                            {milliseconds(10), hours(24), Zero::kOff},
                            "the app's request_timeout here", "\"10m\""),
          optional_duration("request_max_time", &Route::request_max_time,
                            {milliseconds(10), hours(24 * 7), Zero::kOff},
                            "the app's request_max_time here", "\"2h\""),
          flag("access_log", &Route::access_log, "whether the access log has these requests"),
          not_yet("static", "files would not be served", {}),
          not_yet("rate", "requests would not be limited", {kZero, kOffText}),
      },
      {},
      make_default<Route>};
  return table;
}

std::vector<Key> size_limits() {
  return {
      // Together below ipc::kMaxHead, each below ipc::kMaxFieldValue: a head must fit the wire.
      size("request_line", &Limits::request_line, {64, 64 * kKiB}, "longest request line; 414"),
      number("header_count", &Limits::header_count, {1, 10'000}, "header fields; 431"),
      size("header_field", &Limits::header_field, {64, 64 * kKiB},
           "one field's name and value; 431"),
      size("header_bytes", &Limits::header_bytes, {256, 512 * kKiB}, "all header fields; 431"),
      size("body", &Limits::body, {0, kTiB, Zero::kOff}, "request body; 413"),
      size("body_buffer", &Limits::body_buffer, {0, kGiB},
           "of a request body in memory; the rest is spooled (WSGI)"),
      size("response_buffer", &Limits::response_buffer, {4 * kKiB, kGiB},
           "of one response in memory for a slow reader"),
      size("response_spool", &Limits::response_spool, {0, kTiB, Zero::kOff},
           "of one response on disk after that (WSGI); then the worker waits"),
      size("spool_total", &Limits::spool_total, {0, 1024 * kTiB},
           "of all spooled bodies together; requests beyond it are answered 503"),
      number("connections", &Limits::connections, {0, 10 * kMillion},
             "client connections; then accepting pauses; 0: what the descriptor limit allows"),
      number("keepalive_requests", &Limits::keepalive_requests, {0, 1000 * kMillion},
             "requests on one connection; 0: no limit"),
      size("body_min_rate", &Limits::body_min_rate, {0, kGiB, Zero::kOff},
           "slowest request body, bytes per second averaged after 10 s; 408"),
  };
}

std::vector<Key> time_limits() {
  const Span span{milliseconds(10), hours(24)};
  return {
      duration("handshake_timeout", &Limits::handshake_timeout, span, "TLS handshake; close"),
      duration("header_timeout", &Limits::header_timeout, span, "a request's head; 408"),
      duration("body_timeout", &Limits::body_timeout, span,
               "between two reads of a request body; 408"),
      duration("body_total_timeout", &Limits::body_total_timeout,
               {milliseconds(10), hours(7 * 24), Zero::kOff}, "a whole request body; 408"),
      duration("keepalive_timeout", &Limits::keepalive_timeout, span,
               "idle between requests; close"),
      duration("write_timeout", &Limits::write_timeout, span,
               "a client that takes no byte of a response; close"),
      duration("linger_timeout", &Limits::linger_timeout, span,
               "how long a refused request is read on, so that the client sees the answer"),
      number("retries", &Limits::retries, {0, 10},
             "of a started, idempotent request whose worker died"),
  };
}

const Table& limits_table() {
  static const Table table = [] {
    Table made{
        "[limits]",
        "Limits and time-outs of the client side, with the status that answers what is over.",
        size_limits(),
        {},
        make_default<Limits>};
    for (Key& key : time_limits()) made.keys.push_back(std::move(key));
    for (const char* name : {"rate", "rate_burst", "connections_per_client"}) {
      made.keys.push_back(not_yet(name, "clients would not be limited", {kZero, kOffText}));
    }
    return made;
  }();
  return table;
}

const Table& log_table() {
  static const Table table{
      "[log]",
      "Logs.",
      {
          choice<LogLevel>("level", &Log::level,
                           {{"debug", LogLevel::kDebug},
                            {"info", LogLevel::kInfo},
                            {"warning", LogLevel::kWarning},
                            {"error", LogLevel::kError},
                            {"critical", LogLevel::kCritical}},
                           "least severe records of the error log"),
          path("error", &Log::error,
               "error log: a file, or - (standard error); empty: only syslog or journald"),
          choice<ErrorFormat>("error_format", &Log::error_format,
                              {{"text", ErrorFormat::kText}, {"json", ErrorFormat::kJson}},
                              "of that file"),
          path("access", &Log::access,
               "access log: a file, or - (standard output); empty: no file"),
          text("access_format", &Log::access_format, "combined, json, or a format string of atoms"),
          share("access_sample", &Log::access_sample_ppm,
                "share of the requests that the access log has; those answered 500 and above, or "
                "not at all, are always there"),
          words("redact", &Log::redact, {"authorization", "cookies", "query"},
                "what no log shows: values of these headers, queries of URLs"),
          text("syslog", &Log::syslog,
               "syslog server (RFC 5424): unix:/dev/log, udp:host:514 or tcp:host:601; empty: none",
               check_syslog_address),
          words("syslog_logs", &Log::syslog_logs, {"error", "access"}, "what goes there"),
          text("syslog_facility", &Log::syslog_facility, "as in syslog.conf: daemon, user, local0",
               check_syslog_facility),
          text("syslog_tag", &Log::syslog_tag,
               "who speaks, for syslog and journald; {log} is replaced by error or access",
               check_syslog_tag),
          path("journald", &Log::journald,
               "socket of journald, /run/systemd/journal/socket; empty: none"),
          words("journald_logs", &Log::journald_logs, {"error", "access"}, "what goes there"),
      },
      {},
      make_default<Log>};
  return table;
}

const Table& admin_table() {
  static const Table table{
      "[admin]",
      "Metrics, health and status, on an address of their own.",
      {
          address("listen", &Admin::listen,
                  "address; the default one is used if nobody else has it; empty: off"),
          path("certificate", &Admin::certificate,
               "certificate chain, PEM; empty: no TLS on this address"),
          path("key", &Admin::key, "its private key, PEM; read before root is given up"),
          path("key_password_file", &Admin::key_password_file,
               "file whose first line decrypts the key; empty: not encrypted"),
          path("token_file", &Admin::token_file,
               "file whose first line a request must bring as \"Authorization: Bearer ...\" "
               "(/healthz and /readyz answer without); empty: nothing is asked for"),
          list("hosts", &Admin::hosts, "a list of host names",
               "names that requests may call this address by, beside IP addresses and localhost",
               check_field_value),
          list("latency_buckets", &Admin::latency_buckets, "a list of times",
               "upper bounds of the latency histograms' buckets, ascending", check_short_time),
      },
      {},
      make_default<Admin>};
  return table;
}

const Table& edge_table() {
  static const Table table{
      "[edge]",
      "",
      {not_yet("processes", "there would be one edge process", {Value(std::int64_t{1})})},
      {},
      make_default<Config>};
  return table;
}

}  // namespace

const Table& root_table() {
  static const Table table{"the top level",
                           "",
                           {},
                           {
                               member_child("server", server_table, &Config::server),
                               list_child("listen", listen_table, &Config::listen),
                               only_app_child("app", app_table),
                               named_apps_child("apps", app_table),
                               list_child("route", route_table, &Config::routes),
                               member_child("limits", limits_table, &Config::limits),
                               member_child("log", log_table, &Config::log),
                               member_child("admin", admin_table, &Config::admin),
                               same_object_child("edge", edge_table),
                           },
                           make_default<Config>};
  return table;
}

}  // namespace saola::config
