#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <limits>

#include "common/cli/dropin_settings.h"
#include "common/cli/python_text.h"
#include "common/config/shown_text.h"

namespace saola::cli {
namespace {

// What gunicorn writes unless it is told otherwise.
constexpr std::string_view kAccessFormat =
    R"(%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s")";

// gunicorn's own default of --timeout.
constexpr std::chrono::seconds kTimeout{30};

config::Listen default_listener(const DropinSettings& settings) {
  config::Listen listen;
  if (const auto port = settings.variable("PORT")) listen.address = "0.0.0.0:" + *port;
  listen.forwarded = config::Forwarded::kXForwarded;
  listen.trusted = trusted_networks(
      settings.variable("FORWARDED_ALLOW_IPS").value_or(std::string(kLoopbackNetworks)));
  listen.mode = 0666;        // gunicorn's umask for sockets is 0
  listen.ipv6_only = false;  // gunicorn leaves it to the system, where [::] also takes IPv4
  return listen;
}

int default_workers(DropinSettings& settings) {
  const auto text = settings.variable("WEB_CONCURRENCY");
  if (!text) return 1;
  const auto count = parse_python_integer(*text, IntegerSyntax::kDecimal);
  if (count && *count >= 0) {
    return static_cast<int>(std::min<std::int64_t>(*count, std::numeric_limits<int>::max()));
  }
  settings.refuse_because("WEB_CONCURRENCY: must be a number of workers, not " +
                          config::shown(*text));
  return 1;
}

}  // namespace

std::vector<std::string> trusted_networks(std::string_view list) {
  std::vector<std::string> networks = split_at_commas(list);
  networks.emplace_back("unix");
  return networks;
}

void apply_defaults(DropinSettings& settings, config::Config& config) {
  config.listen = {default_listener(settings)};
  config::App& app = config.apps["app"];
  app.workers = default_workers(settings);
  // gunicorn limits no request's time but a sync worker's.
  app.request_timeout = config::Milliseconds(0);
  if (is_sync_class(settings)) app.sync_max_time = kTimeout;
  config.log.access_format = kAccessFormat;
}

}  // namespace saola::cli
