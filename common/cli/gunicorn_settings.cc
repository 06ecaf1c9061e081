#include "common/cli/gunicorn_settings.h"

#include <fmt/format.h>

#include <array>

#include "common/core/check.h"

namespace saola::cli {
namespace {

using A = Argument;
using S = Support;

constexpr std::string_view kHook = "a Python hook: see hooks.md";
constexpr std::string_view kStrict =
    "Saola reads HTTP strictly; such requests are refused with 400";
constexpr std::string_view kNoHttp2 = "HTTP/2 is not available in this version";
constexpr std::string_view kNoStatsd = "metrics are not sent to statsd in this version";
constexpr std::string_view kNoDirty = "there are no dirty workers";
constexpr std::string_view kNoPythonLogging =
    "Python's loggers are not configured by the server; the application may do it";

constexpr auto kSettings = std::to_array<Setting>({
    {"config", "-c --config", A::kText, S::kRefused,
     "a Python configuration file, also ./gunicorn.conf.py, is not run in this version: pass its "
     "settings as flags"},
    {"wsgi_app", "", A::kFileOnly, S::kFileOnly, "the application is named on the command line"},
    {"bind", "-b --bind", A::kList, S::kSame,
     "HOST:PORT, unix:PATH or fd://N; default 0.0.0.0:$PORT if PORT is set, else 127.0.0.1:8000; "
     "sockets of a service manager (LISTEN_FDS) replace them"},
    {"backlog", "--backlog", A::kInteger, S::kSame, "length of each listener's accept queue"},
    {"workers", "-w --workers", A::kInteger, S::kSame,
     "worker processes; default $WEB_CONCURRENCY, else 1; 0 means one per core"},
    {"worker_class", "-k --worker-class", A::kText, S::kMapped,
     "never imported: Saola finds out by itself whether the application is WSGI or ASGI; "
     "UvicornH11Worker also chooses asyncio's loop"},
    {"threads", "--threads", A::kInteger, S::kSame,
     "threads per worker that runs a WSGI application"},
    {"worker_connections", "--worker-connections", A::kInteger, S::kMapped,
     "requests in flight per worker that runs an ASGI application, at most 50000"},
    {"max_requests", "--max-requests", A::kInteger, S::kSame,
     "requests after which a worker is replaced; its replacement serves before it stops"},
    {"max_requests_jitter", "--max-requests-jitter", A::kInteger, S::kSame,
     "up to so many more, at random, per worker"},
    {"timeout", "-t --timeout", A::kInteger, S::kMapped,
     "seconds without a sign of life after which a worker is replaced; for a WSGI application with "
     "one thread under the sync class also the longest time of a request, which is answered "
     "504 and interrupted before that costs the worker; default 30; 0: off"},
    {"graceful_timeout", "--graceful-timeout", A::kInteger, S::kSame,
     "seconds for requests in flight when stopping"},
    {"keepalive", "--keep-alive", A::kInteger, S::kSame,
     "seconds that an idle client connection is kept; default 75, so that a load balancer closes "
     "first; 0: one request per connection"},
    {"limit_request_line", "--limit-request-line", A::kInteger, S::kSame,
     "bytes; default 8190; 0 means 64 KiB"},
    {"limit_request_fields", "--limit-request-fields", A::kInteger, S::kSame,
     "header fields of a request; default 100; 0 means 10000"},
    {"limit_request_field_size", "--limit-request-field_size", A::kInteger, S::kSame,
     "bytes of one header field; default and 0: 8190"},
    {"reload", "--reload", A::kNone, S::kIgnored,
     "workers are not restarted when code changes in this version"},
    {"reload_engine", "--reload-engine", A::kText, S::kIgnored,
     "workers are not restarted when code changes in this version"},
    {"reload_extra_files", "--reload-extra-file", A::kList, S::kIgnored,
     "workers are not restarted when files change in this version"},
    {"spew", "--spew", A::kNone, S::kIgnored, "executed lines are not traced"},
    {"check_config", "--check-config", A::kNone, S::kSame,
     "checks the settings, the certificates and the import of the application; exit code 0 or 1"},
    {"print_config", "--print-config", A::kNone, S::kMapped,
     "prints the effective configuration as TOML for saola serve, without importing the "
     "application"},
    {"preload_app", "--preload", A::kNone, S::kSame,
     "the application is imported once, and the workers are forked from there (docs/preload.md)"},
    {"sendfile", "--no-sendfile", A::kNone, S::kIgnored,
     "workers have no client socket to send a file to"},
    {"reuse_port", "--reuse-port", A::kNone, S::kIgnored,
     "one edge accepts and hands each request to an idle worker"},
    {"chdir", "--chdir", A::kText, S::kSame,
     "the directory that paths are relative to and that modules are imported from"},
    {"daemon", "-D --daemon", A::kNone, S::kMapped,
     "runs in the background; unlike gunicorn's the command waits until the server is ready, or "
     "says why it is not and exits with the server's exit code"},
    {"raw_env", "-e --env", A::kList, S::kSame, "KEY=VALUE in the environment of the workers"},
    {"pidfile", "-p --pid", A::kText, S::kSame, "file with the supervisor's process id"},
    {"worker_tmp_dir", "--worker-tmp-dir", A::kText, S::kIgnored,
     "heartbeats are in shared memory, not in files"},
    {"user", "-u --user", A::kText, S::kSame, "user of the edge and the workers"},
    {"group", "-g --group", A::kText, S::kSame, "group of the edge and the workers"},
    {"umask", "-m --umask", A::kMode, S::kSame,
     "mode mask of new files; default 022; Unix sockets are made with 0666 less the given mask"},
    {"initgroups", "--initgroups", A::kNone, S::kMapped, "always done when --user is given"},
    {"tmp_upload_dir", "", A::kFileOnly, S::kFileOnly, "see spool_dir in configuration.md"},
    {"secure_scheme_headers", "", A::kFileOnly, S::kFileOnly,
     "X-Forwarded-Proto of a trusted proxy says the scheme"},
    {"forwarded_allow_ips", "--forwarded-allow-ips", A::kText, S::kSame,
     "proxies whose X-Forwarded-* fields are believed: addresses, networks or *; peers on Unix "
     "sockets always; default $FORWARDED_ALLOW_IPS, else 127.0.0.1,::1"},
    {"accesslog", "--access-logfile", A::kText, S::kSame,
     "path, or - for standard output; default none"},
    {"disable_redirect_access_to_syslog", "--disable-redirect-access-to-syslog", A::kNone, S::kSame,
     "with --log-syslog: the error log alone goes there"},
    {"access_log_format", "--access-logformat", A::kText, S::kSame,
     "gunicorn's atoms; default gunicorn's, under every worker class"},
    {"errorlog", "--error-logfile --log-file", A::kText, S::kSame, "path, or - for standard error"},
    {"loglevel", "--log-level", A::kText, S::kSame,
     "debug, info, warning, error or critical; any other word means info"},
    {"capture_output", "--capture-output", A::kNone, S::kMapped,
     "always done: what the application prints goes to the error log"},
    {"logger_class", "--logger-class", A::kText, S::kIgnored, "Saola writes the logs itself"},
    {"logconfig", "--log-config", A::kText, S::kIgnored, kNoPythonLogging},
    {"logconfig_dict", "", A::kFileOnly, S::kFileOnly, kNoPythonLogging},
    {"logconfig_json", "--log-config-json", A::kText, S::kIgnored, kNoPythonLogging},
    {"syslog_addr", "--log-syslog-to", A::kText, S::kSame,
     "unix://PATH, udp://HOST:PORT or tcp://HOST:PORT; default udp://localhost:514"},
    {"syslog", "--log-syslog", A::kNone, S::kMapped,
     "both logs, beside their files; messages follow RFC 5424"},
    {"syslog_prefix", "--log-syslog-prefix", A::kText, S::kSame,
     "the name is gunicorn.PREFIX.error or gunicorn.PREFIX.access"},
    {"syslog_facility", "--log-syslog-facility", A::kText, S::kSame, "default user"},
    {"enable_stdio_inheritance", "-R --enable-stdio-inheritance", A::kNone, S::kSame,
     "with --daemon: standard output and error stay if they are no terminals"},
    {"statsd_host", "--statsd-host", A::kText, S::kIgnored, kNoStatsd},
    {"dogstatsd_tags", "--dogstatsd-tags", A::kText, S::kIgnored, kNoStatsd},
    {"statsd_prefix", "--statsd-prefix", A::kText, S::kIgnored, kNoStatsd},
    {"enable_backlog_metric", "--enable-backlog-metric", A::kNone, S::kIgnored, kNoStatsd},
    {"proc_name", "-n --name", A::kText, S::kSame, "name in the workers' process titles"},
    {"default_proc_name", "", A::kFileOnly, S::kFileOnly, "internal to gunicorn"},
    {"pythonpath", "--pythonpath", A::kText, S::kSame,
     "directories, separated by commas, searched for modules; the last one first, as in gunicorn"},
    {"paste", "--paste --paster", A::kText, S::kRefused,
     "PasteDeploy files are not supported; name the application as module:attribute"},
    {"on_starting", "", A::kFileOnly, S::kFileOnly, kHook},
    {"on_reload", "", A::kFileOnly, S::kFileOnly, kHook},
    {"when_ready", "", A::kFileOnly, S::kFileOnly, kHook},
    {"pre_fork", "", A::kFileOnly, S::kFileOnly, kHook},
    {"post_fork", "", A::kFileOnly, S::kFileOnly, kHook},
    {"post_worker_init", "", A::kFileOnly, S::kFileOnly, kHook},
    {"worker_int", "", A::kFileOnly, S::kFileOnly, kHook},
    {"worker_abort", "", A::kFileOnly, S::kFileOnly, kHook},
    {"pre_exec", "", A::kFileOnly, S::kFileOnly, kHook},
    {"pre_request", "", A::kFileOnly, S::kFileOnly, kHook},
    {"post_request", "", A::kFileOnly, S::kFileOnly, kHook},
    {"child_exit", "", A::kFileOnly, S::kFileOnly, kHook},
    {"worker_exit", "", A::kFileOnly, S::kFileOnly, kHook},
    {"nworkers_changed", "", A::kFileOnly, S::kFileOnly, kHook},
    {"on_exit", "", A::kFileOnly, S::kFileOnly, kHook},
    {"ssl_context", "", A::kFileOnly, S::kFileOnly,
     "TLS is not Python's; see tls in configuration.md"},
    {"proxy_protocol", "--proxy-protocol", A::kOptionalText, S::kMapped,
     "off, or v1, v2 and auto, which all take both versions; X-Forwarded-* is not read then"},
    {"proxy_allow_ips", "--proxy-allow-from", A::kText, S::kSame,
     "who may send a PROXY header: addresses, networks or *; default 127.0.0.1,::1"},
    {"protocol", "--protocol", A::kText, S::kPartly, "http; uwsgi is an error"},
    {"uwsgi_allow_ips", "--uwsgi-allow-from", A::kText, S::kIgnored,
     "the uwsgi protocol is not served"},
    {"keyfile", "--keyfile", A::kText, S::kSame,
     "private key, any PEM form; default: in the file of --certfile"},
    {"certfile", "--certfile", A::kText, S::kSame, "certificate chain, PEM; TLS on every listener"},
    {"ssl_version", "--ssl-version", A::kText, S::kMapped,
     "TLSv1_2 or TLSv1_3 is the oldest version that is accepted; older names mean TLS 1.2"},
    {"cert_reqs", "--cert-reqs", A::kText, S::kPartly,
     "0; anything else is an error: client certificates are not supported in this version"},
    {"ca_certs", "--ca-certs", A::kText, S::kRefused,
     "client certificates are not supported in this version"},
    {"suppress_ragged_eofs", "--suppress-ragged-eofs", A::kNone, S::kIgnored,
     "TLS is not Python's"},
    {"do_handshake_on_connect", "--do-handshake-on-connect", A::kNone, S::kIgnored,
     "TLS is not Python's"},
    {"ciphers", "--ciphers", A::kText, S::kSame, "OpenSSL's cipher list for TLS 1.2"},
    {"http_protocols", "--http-protocols", A::kText, S::kPartly,
     "h1; h2 and h3 are not available in this version, clients that offer them get HTTP/1.1; a "
     "list without h1 is an error"},
    {"http2_cleartext", "--http2-cleartext", A::kText, S::kIgnored, kNoHttp2},
    {"http2_max_concurrent_streams", "--http2-max-concurrent-streams", A::kInteger, S::kIgnored,
     kNoHttp2},
    {"http2_initial_window_size", "--http2-initial-window-size", A::kInteger, S::kIgnored,
     kNoHttp2},
    {"http2_max_frame_size", "--http2-max-frame-size", A::kInteger, S::kIgnored, kNoHttp2},
    {"http2_max_header_list_size", "--http2-max-header-list-size", A::kInteger, S::kIgnored,
     kNoHttp2},
    {"raw_paste_global_conf", "--paste-global", A::kList, S::kIgnored,
     "PasteDeploy files are not supported"},
    {"permit_obsolete_folding", "--permit-obsolete-folding", A::kNone, S::kIgnored, kStrict},
    {"strip_header_spaces", "--strip-header-spaces", A::kNone, S::kIgnored, kStrict},
    {"permit_unconventional_http_method", "--permit-unconventional-http-method", A::kNone,
     S::kIgnored, kStrict},
    {"permit_unconventional_http_version", "--permit-unconventional-http-version", A::kNone,
     S::kIgnored, kStrict},
    {"casefold_http_method", "--casefold-http-method", A::kNone, S::kIgnored,
     "a method is passed on as it was sent"},
    {"forwarder_headers", "--forwarder-headers", A::kText, S::kIgnored,
     "fields with _ in their name are always dropped; use --root-path for SCRIPT_NAME"},
    {"header_map", "--header-map", A::kText, S::kPartly,
     "drop; dangerous means drop too, with a warning; refuse is an error"},
    {"asgi_loop", "--asgi-loop", A::kText, S::kSame, "auto, asyncio or uvloop"},
    {"asgi_lifespan", "--asgi-lifespan", A::kText, S::kSame, "auto, on or off"},
    {"asgi_disconnect_grace_period", "--asgi-disconnect-grace-period", A::kInteger, S::kIgnored,
     "after http.disconnect a request may finish"},
    {"websocket_max_message_size", "--websocket-max-message-size", A::kInteger, S::kIgnored,
     "WebSockets are not available in this version"},
    {"http_parser", "--http-parser", A::kText, S::kIgnored, "HTTP is parsed by the edge"},
    {"root_path", "--root-path", A::kText, S::kSame, "root_path of ASGI, SCRIPT_NAME of WSGI"},
    {"dirty_apps", "--dirty-app", A::kList, S::kIgnored, kNoDirty},
    {"dirty_workers", "--dirty-workers", A::kInteger, S::kIgnored, kNoDirty},
    {"dirty_timeout", "--dirty-timeout", A::kInteger, S::kIgnored, kNoDirty},
    {"dirty_threads", "--dirty-threads", A::kInteger, S::kIgnored, kNoDirty},
    {"dirty_graceful_timeout", "--dirty-graceful-timeout", A::kInteger, S::kIgnored, kNoDirty},
    {"on_dirty_starting", "", A::kFileOnly, S::kFileOnly, kHook},
    {"dirty_post_fork", "", A::kFileOnly, S::kFileOnly, kHook},
    {"dirty_worker_init", "", A::kFileOnly, S::kFileOnly, kHook},
    {"dirty_worker_exit", "", A::kFileOnly, S::kFileOnly, kHook},
    {"control_socket", "--control-socket", A::kText, S::kMapped,
     "path of the socket for saola status, reload and others; gunicornc does not understand it; "
     "default: a file named by the process id in /run/saola (root) or $XDG_RUNTIME_DIR/saola"},
    {"control_socket_mode", "--control-socket-mode", A::kMode, S::kSame,
     "its permissions, default 0600; only root and the server's user are answered"},
    {"control_socket_disable", "--no-control-socket", A::kNone, S::kSame, "no control socket"},
});

}  // namespace

std::span<const Setting> gunicorn_settings() { return kSettings; }

const Setting& gunicorn_setting(std::string_view name) {
  for (const Setting& setting : kSettings) {
    if (setting.name == name) return setting;
  }
  SAOLA_UNREACHABLE();
}

std::vector<std::string_view> flags_of(const Setting& setting) {
  std::vector<std::string_view> flags;
  std::string_view rest = setting.flags;
  while (!rest.empty()) {
    const std::string_view flag = rest.substr(0, rest.find(' '));
    flags.push_back(flag);
    rest.remove_prefix(flag.size());
    if (!rest.empty()) rest.remove_prefix(1);
  }
  return flags;
}

std::string_view long_flag(const Setting& setting) {
  for (const std::string_view flag : flags_of(setting)) {
    if (flag.starts_with("--")) return flag;
  }
  return setting.name;
}

std::string_view support_word(Support support) {
  switch (support) {
    case Support::kSame:
      return "same";
    case Support::kMapped:
      return "mapped";
    case Support::kPartly:
      return "partly";
    case Support::kIgnored:
      return "no effect";
    case Support::kRefused:
      return "error";
    case Support::kFileOnly:
      return "file only";
  }
  SAOLA_UNREACHABLE();
}

std::string describe_settings() {
  std::string text;
  for (const Setting& setting : kSettings) {
    if (setting.flags.empty()) continue;
    const bool works = setting.support == Support::kSame || setting.support == Support::kMapped;
    text +=
        fmt::format("  {}\n      {}{}{}\n", setting.flags,
                    works ? "" : support_word(setting.support), works ? "" : ": ", setting.says);
  }
  return text;
}

}  // namespace saola::cli
