// validate() and warnings(): what concerns several keys, and each key's own range.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "common/config/address.h"
#include "common/config/config_loader.h"
#include "common/config/config_schema.h"
#include "common/config/key_messages.h"
#include "common/config/latency_buckets.h"
#include "common/config/paths.h"
#include "common/config/shown_text.h"
#include "common/config/suggestion.h"

namespace saola::config {
namespace {

using Problems = std::vector<Problem>;

std::string place(std::string_view table, std::size_t index, std::string_view key) {
  return fmt::format("{}.{}{}{}", table, index, key.empty() ? "" : ".", key);
}

std::string place_of_app(const Config& config, const std::string& name, std::string_view key) {
  const bool is_only = config.apps.size() == 1 && name == kOnlyApp;
  return join_key(is_only ? name : "apps." + name, key);
}

void check_ranges(const Config& config, Problems& out) {
  walk(root_table(), &config, "",
       [&out](const Table& table, const void* object, const std::string& dotted) {
         const std::shared_ptr<void> scratch = table.make_default();
         for (const Key& key : table.keys) {
           if (!key.is_supported()) continue;
           const Value value = key.get(object);
           if (std::holds_alternative<std::monostate>(value)) continue;
           if (auto wrong = set_key(key, title_of(table, dotted), scratch.get(), value)) {
             out.push_back({join_key(dotted, key.name), *wrong});
           }
         }
       });
}

void check_apps(const Config& config, Problems& out) {
  if (config.apps.empty()) {
    out.push_back({"apps", "no application: set 'target' in [app], such as \"app:application\""});
  }
  for (const auto& [name, app] : config.apps) {
    const std::string title =
        title_of(find_child(root_table(), "app")->table(), place_of_app(config, name, ""));
    if (!is_app_name(name)) {
      out.push_back({place_of_app(config, name, ""),
                     fmt::format("{} cannot name an application: use letters, digits, - and _",
                                 shown(name))});
    }
    if (app.target.empty()) {
      out.push_back({place_of_app(config, name, "target"),
                     fmt::format("'target' is missing in {}: name the application, such as "
                                 "\"app:application\"",
                                 title)});
    }
    if (app.directory.empty()) {
      out.push_back(
          {place_of_app(config, name, "directory"),
           fmt::format("'directory' in {} must not be empty; \".\" is the default", title)});
    }
  }
}

void check_certificates(const Tls& tls, std::size_t listener, Problems& out) {
  if (tls.certificates.empty()) {
    out.push_back(
        {place("listen", listener, "tls"), "TLS needs 'certificate' and 'key' in [listen.tls]"});
  }
  for (std::size_t i = 0; i < tls.certificates.size(); ++i) {
    const Certificate& pair = tls.certificates[i];
    const std::string table = i == 0 ? "tls" : fmt::format("certificates.{}", i);
    const bool is_inline = i == 0;
    const std::string_view title = is_inline ? "[listen.tls]" : "[[listen.certificates]]";
    if (pair.certificate.empty() && pair.key.empty()) {
      out.push_back({place("listen", listener, table),
                     fmt::format("TLS needs 'certificate' and 'key' in {}", title)});
    } else if (pair.key.empty()) {
      out.push_back({place("listen", listener, table + ".certificate"),
                     fmt::format("'certificate' in {} needs a 'key'", title)});
    } else if (pair.certificate.empty()) {
      out.push_back({place("listen", listener, table + ".key"),
                     fmt::format("'key' in {} needs a 'certificate'", title)});
    }
  }
}

void check_listen_address(const Config& config, std::size_t index, std::set<std::string>& seen,
                          Problems& out) {
  constexpr std::size_t kLongestUnixPath = 107;  // sockaddr_un
  const std::string where = place("listen", index, "address");
  const std::string& text = config.listen[index].address;
  if (text.empty()) {
    out.push_back({where, "'address' in [[listen]] must not be empty"});
    return;
  }
  const auto address = parse_address(text);
  if (!address) return;  // check_ranges() told
  if (address->kind == Address::Kind::kUnix &&
      resolve_path(config, address->path).size() > kLongestUnixPath) {
    out.push_back(
        {where, fmt::format("'address' in [[listen]]: the path of a Unix socket has at most "
                            "{} bytes, with the file's directory",
                            kLongestUnixPath)});
  }
  const bool is_any_port = address->kind == Address::Kind::kInet && address->port == 0;
  if (!is_any_port && !seen.insert(to_string(*address)).second) {
    out.push_back({where, fmt::format("{} is listened on twice", shown(text))});
  }
}

void check_listeners(const Config& config, Problems& out) {
  std::set<std::string> addresses;
  for (std::size_t i = 0; i < config.listen.size(); ++i) {
    const Listen& listen = config.listen[i];
    check_listen_address(config, i, addresses, out);
    if (listen.tls) check_certificates(*listen.tls, i, out);
    if (listen.tls && listen.redirect_https) {
      out.push_back(
          {place("listen", i, "redirect_https"),
           "'redirect_https' in [[listen]] is for a plain listener, and this one has TLS"});
    }
    if (listen.forwarded != Forwarded::kOff && listen.trusted.empty()) {
      out.push_back(
          {place("listen", i, "forwarded"),
           "'forwarded' in [[listen]] needs 'trusted': the networks of the proxies that are "
           "believed"});
    }
    const auto& protocols = listen.protocols;
    if (!protocols.empty() &&
        std::find(protocols.begin(), protocols.end(), "http/1.1") == protocols.end()) {
      out.push_back(
          {place("listen", i, "protocols"),
           "'protocols' in [[listen]] must have \"http/1.1\": this version speaks no other"});
    }
  }
}

void check_route_answer(const Config& config, std::size_t index, Problems& out) {
  const Route& route = config.routes[index];
  if (!route.app.empty() && !route.redirect.empty()) {
    out.push_back({place("route", index, "redirect"),
                   "a [[route]] has either 'app' or 'redirect', and this one has both"});
  } else if (!route.app.empty() && !config.apps.contains(route.app)) {
    std::vector<std::string> names;
    for (const auto& [name, app] : config.apps) names.push_back(name);
    const std::string_view nearest = nearest_name(route.app, names);
    out.push_back(
        {place("route", index, "app"),
         fmt::format("'app' in [[route]] names no application: {}{}", shown(route.app),
                     nearest.empty() ? "" : fmt::format("; did you mean '{}'?", nearest))});
  } else if (route.app.empty() && route.redirect.empty() && config.apps.size() > 1) {
    out.push_back({place("route", index, ""),
                   "a [[route]] needs 'app' or 'redirect', as there are several applications"});
  }
}

void check_routes(const Config& config, Problems& out) {
  if (config.routes.empty() && config.apps.size() > 1) {
    out.push_back({"apps", "several applications need [[route]] tables that tell them apart"});
  }
  for (std::size_t i = 0; i < config.routes.size(); ++i) check_route_answer(config, i, out);
}

void check_rest(const Config& config, Problems& out) {
  const Limits& limits = config.limits;
  if (limits.header_field > limits.header_bytes) {
    out.push_back({"limits.header_field",
                   "'header_field' in [limits] must not be larger than 'header_bytes'"});
  }
  if (config.server.spool_dir.empty()) {
    out.push_back({"server.spool_dir", "'spool_dir' in [server] must not be empty"});
  }
  const auto has_error = [](const std::string& where, const std::vector<std::string>& logs) {
    return !where.empty() && std::find(logs.begin(), logs.end(), "error") != logs.end();
  };
  if (config.log.error.empty() && !has_error(config.log.syslog, config.log.syslog_logs) &&
      !has_error(config.log.journald, config.log.journald_logs)) {
    out.push_back({"log.error", "'error' in [log] must not be empty; - is standard error"});
  }
  constexpr std::size_t kLongestSocketPath = 107;  // sockaddr_un
  if (config.log.journald.size() > kLongestSocketPath ||
      (!config.log.journald.empty() && !config.log.journald.starts_with('/'))) {
    out.push_back({"log.journald", "'journald' in [log] must be the absolute path of a socket"});
  }
  if (config.log.access_format.empty()) {
    out.push_back(
        {"log.access_format",
         "'access_format' in [log] must not be empty; to log no accesses, leave 'access' out"});
  }
}

void warn_about_listeners(const Config& config, Problems& out) {
  for (std::size_t i = 0; i < config.listen.size(); ++i) {
    const Listen& listen = config.listen[i];
    const auto& protocols = listen.protocols;
    if (!listen.tls && !protocols.empty()) {
      out.push_back(
          {place("listen", i, "protocols"), "'protocols' in [[listen]] has no effect without TLS"});
    } else if (std::find(protocols.begin(), protocols.end(), "h2") != protocols.end()) {
      out.push_back({place("listen", i, "protocols"),
                     "\"h2\" is not supported yet: clients are offered http/1.1 only"});
    }
    if (listen.forwarded == Forwarded::kOff && !listen.trusted.empty()) {
      out.push_back({place("listen", i, "trusted"),
                     "'trusted' in [[listen]] has no effect while 'forwarded' is \"off\""});
    }
  }
}

void warn_about_apps(const Config& config, Problems& out) {
  const bool has_catch_all = config.routes.empty() || config.apps.size() == 1;
  for (const auto& entry : config.apps) {
    const std::string& name = entry.first;
    const App& app = entry.second;
    const auto warn = [&config, &name, &out](std::string_view key, std::string message) {
      out.push_back({place_of_app(config, name, key), std::move(message)});
    };
    if (app.interface == Interface::kAsgi && app.threads > 1) {
      warn("threads", "'threads' has no effect on an ASGI application; 'concurrency' has");
    }
    if (app.max_requests == 0 && app.max_requests_jitter > 0) {
      warn("max_requests_jitter", "'max_requests_jitter' has no effect without 'max_requests'");
    }
    const bool is_routed =
        has_catch_all || std::any_of(config.routes.begin(), config.routes.end(),
                                     [&name](const Route& route) { return route.app == name; });
    if (!is_routed) warn("", fmt::format("no [[route]] leads to the application '{}'", name));
  }
}

void warn_about_routes(const Config& config, Problems& out) {
  for (std::size_t i = 0; i + 1 < config.routes.size(); ++i) {
    if (config.routes[i].host.empty() && config.routes[i].path == "/") {
      out.push_back({place("route", i + 1, ""),
                     "this [[route]] is never reached: the one before it takes every request"});
      return;
    }
  }
}

void check_admin(const Config& config, Problems& out) {
  const Admin& admin = config.admin;
  if (admin.certificate.empty() != admin.key.empty()) {
    out.push_back({admin.key.empty() ? "admin.certificate" : "admin.key",
                   "[admin] needs 'certificate' and 'key' together"});
  }
  const auto& buckets = admin.latency_buckets;
  if (buckets.empty() || buckets.size() > kMostLatencyBuckets) {
    out.push_back({"admin.latency_buckets",
                   fmt::format("'latency_buckets' in [admin] must have between 1 and {} times",
                               kMostLatencyBuckets)});
  }
  const auto bounds = latency_bounds(admin);
  if (std::adjacent_find(bounds.begin(), bounds.end(), std::greater_equal<>()) != bounds.end()) {
    out.push_back(
        {"admin.latency_buckets", "'latency_buckets' in [admin] must ascend, each time once"});
  }
}

// Whoever reaches the address learns what runs, and may ask for it as often as they like.
void warn_about_admin(const Config& config, Problems& out) {
  const auto address = parse_address(config.admin.listen);
  if (config.admin.listen.empty() || !address || address->kind != Address::Kind::kInet) return;
  const bool here =
      address->host == "localhost" || address->host == "::1" || address->host.starts_with("127.");
  if (here || !config.admin.token_file.empty()) return;
  out.push_back({"admin.listen",
                 fmt::format("[admin] listens on {} and asks for no token: everybody who reaches "
                             "it sees metrics, paths and stacks; set 'token_file'",
                             config.admin.listen)});
}

}  // namespace

std::vector<Problem> validate(const Config& config) {
  Problems out;
  check_ranges(config, out);
  check_apps(config, out);
  check_listeners(config, out);
  check_routes(config, out);
  check_rest(config, out);
  check_admin(config, out);
  return out;
}

std::vector<Problem> warnings(const Config& config) {
  Problems out;
  warn_about_listeners(config, out);
  warn_about_apps(config, out);
  warn_about_routes(config, out);
  warn_about_admin(config, out);
  return out;
}

}  // namespace saola::config
