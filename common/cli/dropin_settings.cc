#include "common/cli/dropin_settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <limits>
#include <utility>

#include "common/cli/commands.h"
#include "common/cli/python_text.h"
#include "common/config/shown_text.h"
#include "common/core/log_outlet.h"
#include "common/core/record_style.h"

namespace saola::cli {
namespace {

using std::chrono::seconds;

// As many as fit; the configuration's own ranges are checked by config::validate().
int to_int(std::int64_t number) {
  return static_cast<int>(std::min<std::int64_t>(number, std::numeric_limits<int>::max()));
}

// A number of seconds; what is longer than a day is a day, the most that the configuration takes.
config::Milliseconds to_duration(std::int64_t count) {
  constexpr std::int64_t kDay = 24 * 60 * 60;
  return seconds(std::min(count, kDay));
}

template <class T, std::size_t N>
using Choices = std::array<std::pair<std::string_view, T>, N>;

template <class T, std::size_t N>
void apply_choice(DropinSettings& settings, std::string_view name, const Choices<T, N>& choices,
                  T& target) {
  const auto text = settings.text(name);
  if (!text) return;
  std::string names;
  for (const auto& [word, value] : choices) {
    if (lowered(*text) == word) {
      target = value;
      return;
    }
    names += fmt::format("{}{}", names.empty() ? "" : ", ", word);
  }
  settings.refuse(name, fmt::format("must be one of {}, not {}", names, config::shown(*text)));
}

// -k: no Python is imported for it. What a class would do differently is said once.
void apply_worker_class(DropinSettings& settings, config::App& app) {
  const std::string name = settings.text("worker_class").value_or("");
  if (name.empty()) return;
  const auto starts_with = [&name](std::string_view prefix) { return name.starts_with(prefix); };
  if (starts_with("uvicorn.workers.") || starts_with("uvicorn_worker.")) {
    if (name.ends_with(".UvicornH11Worker")) app.loop = config::AsyncLoop::kAsyncio;
    return;
  }
  const bool is_greenlets = name == "gevent" || name == "gevent_wsgi" || name == "gevent_pywsgi" ||
                            name == "eventlet" || starts_with("gunicorn.workers.ggevent") ||
                            starts_with("gunicorn.workers.geventlet");
  if (is_greenlets) {
    settings.warn("worker_class",
                  "greenlets are not available in this version; the application is not patched and "
                  "runs on --threads");
  } else if (name == "tornado" || starts_with("gunicorn.workers.gtornado")) {
    settings.warn("worker_class",
                  "Tornado's loop is not used; the application runs as WSGI or ASGI");
  } else if (name != "sync" && name != "gthread" && name != "asgi" &&
             !starts_with("gunicorn.workers.")) {
    settings.warn("worker_class",
                  fmt::format("{} is not imported; what it sets must be given as flags",
                              config::shown(name)));
  }
}

// gunicorn's time-out is a request's for the sync class alone; elsewhere it watches the worker.
void apply_timeout(const DropinSettings& settings, config::App& app) {
  const auto count = settings.number("timeout");
  if (!count) return;
  app.hang_timeout = to_duration(*count);
  if (is_sync_class(settings)) app.sync_max_time = to_duration(*count);
}

void apply_environment(DropinSettings& settings, config::App& app) {
  for (const std::string& entry : settings.list("raw_env")) {
    const std::string_view text = stripped(entry);
    const std::size_t equals = text.find('=');
    if (equals == text.npos || equals == 0) {
      // The value may be a secret; without "=" all of it is a name.
      settings.refuse("raw_env", fmt::format("{} is not KEY=VALUE", config::shown(text)));
    } else {
      app.env[std::string(text.substr(0, equals))] = text.substr(equals + 1);
    }
  }
}

// gunicorn puts each one before those that it has: the last one named is searched first.
void apply_python_path(DropinSettings& settings, config::App& app) {
  if (!settings.has("pythonpath")) return;
  app.pythonpath = split_at_commas(settings.text("pythonpath").value_or(""));
  std::reverse(app.pythonpath.begin(), app.pythonpath.end());
}

// The text if the setting is given.
void apply_text(const DropinSettings& settings, std::string_view name, std::string& target) {
  if (auto text = settings.text(name)) target = *std::move(text);
}

}  // namespace

std::optional<std::string> DropinSettings::text(std::string_view name) const {
  const auto found = given_.find(name);
  if (found == given_.end() || found->second.values.empty()) return std::nullopt;
  return std::string(stripped(found->second.values.back()));
}

std::optional<std::int64_t> DropinSettings::number(std::string_view name) const {
  const auto found = given_.find(name);
  if (found == given_.end() || found->second.values.empty()) return std::nullopt;
  const bool is_mode = gunicorn_setting(name).argument == Argument::kMode;
  // The arguments' reader took it, so it is a number.
  return parse_python_integer(found->second.values.back(),
                              is_mode ? IntegerSyntax::kMode : IntegerSyntax::kDecimal);
}

std::vector<std::string> DropinSettings::list(std::string_view name) const {
  const auto found = given_.find(name);
  return found == given_.end() ? std::vector<std::string>() : found->second.values;
}

std::optional<std::string> DropinSettings::variable(std::string_view name) const {
  const std::string_view value = stripped(find_variable(environment_, name));
  if (value.empty()) return std::nullopt;
  return std::string(value);
}

void DropinSettings::warn(std::string_view name, std::string_view what) {
  const auto found = given_.find(name);
  warnings.push_back(
      fmt::format("{}: {}", found == given_.end() ? name : found->second.where, what));
}

void DropinSettings::refuse(std::string_view name, std::string_view what) {
  const auto found = given_.find(name);
  errors.push_back(fmt::format("{}: {}", found == given_.end() ? name : found->second.where, what));
}

bool is_sync_class(const DropinSettings& settings) {
  const std::string name = settings.text("worker_class").value_or("");
  return name.empty() || name == "sync" || name == "gunicorn.workers.sync.SyncWorker";
}

void apply_app(DropinSettings& settings, config::Config& config) {
  config::App& app = config.apps.begin()->second;
  if (const auto workers = settings.number("workers")) app.workers = to_int(*workers);
  if (const auto threads = settings.number("threads")) app.threads = to_int(*threads);
  if (const auto connections = settings.number("worker_connections")) {
    constexpr std::int64_t kMostInFlight = 50'000;
    app.concurrency = to_int(std::min(*connections, kMostInFlight));
  }
  if (const auto count = settings.number("max_requests")) {
    app.max_requests = static_cast<std::uint64_t>(*count);
  }
  if (const auto count = settings.number("max_requests_jitter")) {
    app.max_requests_jitter = static_cast<std::uint64_t>(*count);
  }
  if (settings.has("preload_app")) app.preload = true;
  apply_worker_class(settings, app);
  apply_timeout(settings, app);
  apply_environment(settings, app);
  apply_python_path(settings, app);
  apply_text(settings, "root_path", app.root_path);
  apply_text(settings, "proc_name", app.process_name);
  using Loop = config::AsyncLoop;
  apply_choice(settings, "asgi_loop",
               Choices<Loop, 3>{
                   {{"auto", Loop::kAuto}, {"asyncio", Loop::kAsyncio}, {"uvloop", Loop::kUvloop}}},
               app.loop);
  using Lifespan = config::Lifespan;
  apply_choice(settings, "asgi_lifespan",
               Choices<Lifespan, 3>{
                   {{"auto", Lifespan::kAuto}, {"on", Lifespan::kOn}, {"off", Lifespan::kOff}}},
               app.lifespan);
}

void apply_limits(DropinSettings& settings, config::Config& config) {
  constexpr std::int64_t kMostBytes = 64 * 1024;  // what the keys of [limits] allow
  constexpr std::int64_t kMostFields = 10'000;
  config::Limits& limits = config.limits;
  if (const auto keepalive = settings.number("keepalive")) {
    if (*keepalive == 0) {
      limits.keepalive_requests = 1;
    } else {
      limits.keepalive_timeout = to_duration(*keepalive);
    }
  }
  if (const auto bytes = settings.number("limit_request_line")) {
    limits.request_line =
        static_cast<std::uint64_t>(*bytes == 0 ? kMostBytes : std::min(*bytes, kMostBytes));
  }
  if (const auto count = settings.number("limit_request_fields")) {
    limits.header_count =
        static_cast<std::uint64_t>(*count == 0 ? kMostFields : std::min(*count, kMostFields));
  }
  const auto field_bytes = settings.number("limit_request_field_size");
  if (field_bytes && *field_bytes > 0) {
    const std::uint64_t before = limits.header_field;
    limits.header_field = static_cast<std::uint64_t>(std::min(*field_bytes, kMostBytes));
    // One field of that size still leaves the others the room that they had.
    if (limits.header_field > before) limits.header_bytes += limits.header_field - before;
  }
  if (const auto graceful = settings.number("graceful_timeout")) {
    config.server.graceful_timeout = to_duration(*graceful);
  }
}

namespace {

constexpr std::size_t kLongestPrefix = 32;  // RFC 5424 has 48 for the whole name

// gunicorn's "udp://host:port", "unix://path#dgram" in our notation.
void apply_syslog_address(DropinSettings& settings, config::Log& log) {
  const std::string given = settings.text("syslog_addr").value_or("udp://localhost:514");
  log.syslog = given;
  if (const std::size_t slashes = log.syslog.find("://"); slashes != std::string::npos) {
    log.syslog.erase(slashes + 1, 2);
  }
  if (const std::size_t type = log.syslog.find('#'); type != std::string::npos) {
    log.syslog.erase(type);  // the socket itself says which type it is
  }
  if (LogAddress address; parse_syslog_address(log.syslog, address)) return;
  settings.refuse("syslog_addr",
                  fmt::format("must be unix://PATH, udp://HOST:PORT or tcp://HOST:PORT, not {}",
                              config::shown(given)));
}

void apply_syslog(DropinSettings& settings, config::Config& config) {
  config::Log& log = config.log;
  if (!settings.has("syslog")) return;
  apply_syslog_address(settings, log);
  if (settings.has("disable_redirect_access_to_syslog")) log.syslog_logs = {"error"};
  log.syslog_facility = lowered(settings.text("syslog_facility").value_or("user"));
  if (!syslog_facility(log.syslog_facility)) {
    settings.refuse("syslog_facility",
                    fmt::format("{} is no facility", config::shown(log.syslog_facility)));
  }
  // gunicorn's own name for it: the application's, unless a prefix is given.
  std::string prefix = settings.text("syslog_prefix").value_or("");
  if (prefix.empty()) prefix = settings.text("proc_name").value_or("");
  if (prefix.empty()) prefix = config.apps["app"].target;
  prefix.resize(std::min(prefix.size(), kLongestPrefix));
  for (char& c : prefix) {
    if (c == ':' || c <= ' ' || c > '~') c = '.';
  }
  log.syslog_tag = fmt::format("gunicorn.{}.{{log}}", prefix);
}

}  // namespace

void apply_logs(DropinSettings& settings, config::Config& config) {
  apply_syslog(settings, config);
  apply_text(settings, "access_log_format", config.log.access_format);
  apply_text(settings, "accesslog", config.log.access);
  apply_text(settings, "errorlog", config.log.error);
  const auto level = settings.text("loglevel");
  if (!level) return;
  constexpr std::array kLevels{LogLevel::kDebug, LogLevel::kInfo, LogLevel::kWarning,
                               LogLevel::kError, LogLevel::kCritical};
  const auto* known = std::find_if(kLevels.begin(), kLevels.end(), [&level](LogLevel one) {
    return lowered(*level) == log_level_name(one);
  });
  if (known != kLevels.end()) {
    config.log.level = *known;
  } else {
    config.log.level = LogLevel::kInfo;
    settings.warn("loglevel",
                  fmt::format("{} is not a level; info is used", config::shown(*level)));
  }
}

void apply_server(DropinSettings& settings, config::Config& config) {
  apply_text(settings, "pidfile", config.server.pid_file);
  apply_text(settings, "user", config.server.user);
  apply_text(settings, "group", config.server.group);
  apply_text(settings, "control_socket", config.server.control_socket);
  if (settings.has("control_socket_disable")) config.server.control_socket = "off";
  if (const auto mode = settings.number("control_socket_mode")) {
    if (*mode > 0777) settings.refuse("control_socket_mode", "must be a mode such as 0o660");
    config.server.control_socket_mode = to_int(*mode) & 0777;
  }
  if (const auto mask = settings.number("umask")) config.server.umask = to_int(*mask);
}

}  // namespace saola::cli
