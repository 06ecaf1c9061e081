#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "common/cli/dropin_settings.h"
#include "common/cli/python_text.h"
#include "common/config/activation.h"
#include "common/config/shown_text.h"

namespace saola::cli {
namespace {

// gunicorn's address -> Saola's. The port may be missing (8000), "unix://" and "tcp://" may stand
// before.
std::string listen_address(std::string_view bind) {
  for (const std::string_view prefix : {"unix://", "unix:"}) {
    if (bind.starts_with(prefix)) return "unix:" + std::string(bind.substr(prefix.size()));
  }
  if (bind.starts_with("fd://")) return "fd:" + std::string(bind.substr(5));
  if (bind.starts_with("tcp://")) bind.remove_prefix(6);
  if (bind.starts_with('[')) {
    return lowered(bind) + (bind.find("]:") == bind.npos ? ":8000" : "");
  }
  if (bind.find(':') == bind.npos) return lowered(bind) + ":8000";
  return lowered(bind);
}

// Sockets that a service manager opened replace every -b, as in gunicorn. False if there are none.
bool apply_activated(DropinSettings& settings, config::Config& config,
                     const config::Listen& pattern) {
  const auto sockets = config::activated_sockets(
      settings.variable("LISTEN_PID").value_or(""), settings.variable("LISTEN_FDS").value_or(""),
      settings.variable("LISTEN_FDNAMES").value_or(""), ::getpid());
  if (sockets.empty()) return false;
  if (settings.has("bind")) {
    settings.warn("bind", "the sockets of the service manager are used (LISTEN_FDS)");
  }
  config.listen.clear();
  for (const auto& socket : sockets) {
    config.listen.push_back(pattern);
    config.listen.back().address = fmt::format("fd:{}", socket.fd);
  }
  return true;
}

// One listener like the first that there is for each -b.
void apply_addresses(DropinSettings& settings, config::Config& config) {
  const config::Listen pattern = config.listen.empty() ? config::Listen() : config.listen.front();
  if (apply_activated(settings, config, pattern) || !settings.has("bind")) return;
  config.listen.clear();
  for (const std::string& bind : settings.list("bind")) {
    const std::string_view text = stripped(bind);
    if (!text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos) {
      settings.refuse("bind", fmt::format("'{0}' has no host; write :{0}", text));
      continue;
    }
    config.listen.push_back(pattern);
    config.listen.back().address = listen_address(text);
  }
}

void apply_tls_version(DropinSettings& settings, config::Tls& tls) {
  const auto text = settings.text("ssl_version");
  if (!text) return;
  // Names with and without the prefix of Python's ssl module, and the numbers behind them.
  std::string name = lowered(*text);
  if (name.starts_with("protocol_")) name.erase(0, 9);
  std::replace(name.begin(), name.end(), '.', '_');
  if (name == "tlsv1_3") {
    tls.min_version = config::TlsVersion::kTls13;
  } else if (name == "sslv3" || name == "tlsv1" || name == "tlsv1_1" || name == "1" ||
             name == "3" || name == "4") {
    settings.warn("ssl_version", "the oldest version that is served is TLS 1.2");
  } else if (name != "tlsv1_2" && name != "5" && name != "tls" && name != "tls_server" &&
             name != "sslv23" && name != "2" && name != "17") {
    settings.refuse("ssl_version",
                    fmt::format("{} is not known; write TLSv1_2 or TLSv1_3", config::shown(*text)));
  }
}

void check_client_certificates(DropinSettings& settings) {
  const auto required = settings.text("cert_reqs");
  if (!required) return;
  const auto level = parse_python_integer(*required, IntegerSyntax::kLiteral);
  if (!level || *level != 0) {
    settings.refuse("cert_reqs", "client certificates are not supported in this version");
  }
}

void apply_tls(DropinSettings& settings, config::Config& config) {
  check_client_certificates(settings);
  const std::string certificate = settings.text("certfile").value_or("");
  const std::string key = settings.text("keyfile").value_or("");
  if (certificate.empty() && !key.empty()) settings.refuse("keyfile", "needs --certfile");
  // One answer for all listeners, so that it is said once.
  config::Tls wanted;
  apply_tls_version(settings, wanted);
  bool has_tls = false;
  for (config::Listen& listen : config.listen) {
    if (!certificate.empty()) {
      if (!listen.tls) listen.tls.emplace();
      listen.tls->certificates = {{certificate, key.empty() ? certificate : key, ""}};
    }
    if (!listen.tls) continue;
    has_tls = true;
    if (settings.has("ssl_version")) listen.tls->min_version = wanted.min_version;
    if (const auto ciphers = settings.text("ciphers")) listen.tls->ciphers = *ciphers;
  }
  for (const std::string_view name : {"ciphers", "ssl_version"}) {
    if (settings.has(name) && !has_tls) settings.warn(name, "no effect without --certfile");
  }
}

std::vector<std::string> protocols_of(DropinSettings& settings) {
  const auto text = settings.text("http_protocols");
  if (!text) return {};
  bool has_h1 = false;
  bool has_others = false;
  const std::vector<std::string> names = split_at_commas(lowered(*text));
  for (const std::string& name : names) {
    if (name == "h1") {
      has_h1 = true;
    } else if (name == "h2" || name == "h3") {
      has_others = true;
    } else {
      settings.refuse("http_protocols",
                      fmt::format("{} is not a protocol; write h1 or h1,h2", config::shown(name)));
    }
  }
  if (names.empty()) return {};
  if (!has_h1) {
    settings.refuse("http_protocols", "only HTTP/1.1 (h1) is available in this version");
  } else if (has_others) {
    settings.warn("http_protocols", "HTTP/2 and HTTP/3 are not available in this version");
  }
  return {"http/1.1"};
}

// off, or any way of saying on.
bool wants_proxy_protocol(DropinSettings& settings) {
  if (!settings.has("proxy_protocol")) return false;
  const std::string value = lowered(settings.text("proxy_protocol").value_or("auto"));
  for (const std::string_view off : {"off", "false", "0", "none"}) {
    if (value == off) return false;
  }
  for (const std::string_view on : {"auto", "true", "1", "v1", "v2"}) {
    if (value == on) return true;
  }
  settings.refuse("proxy_protocol",
                  fmt::format("must be off, v1, v2 or auto, not {}", config::shown(value)));
  return false;
}

void apply_trust(DropinSettings& settings, config::Config& config) {
  const bool has_proxy_header = wants_proxy_protocol(settings);
  const std::string_view name = has_proxy_header ? "proxy_allow_ips" : "forwarded_allow_ips";
  if (has_proxy_header && settings.has("forwarded_allow_ips")) {
    settings.warn("forwarded_allow_ips", "no effect with --proxy-protocol");
  }
  if (!has_proxy_header && !settings.has(name)) return;
  for (config::Listen& listen : config.listen) {
    listen.forwarded =
        has_proxy_header ? config::Forwarded::kProxyProtocol : config::Forwarded::kXForwarded;
    listen.trusted = trusted_networks(settings.text(name).value_or(std::string(kLoopbackNetworks)));
  }
}

void check_other_protocols(DropinSettings& settings) {
  const std::string protocol = lowered(settings.text("protocol").value_or("http"));
  if (protocol != "http") {
    settings.refuse("protocol", fmt::format("{} is not supported; Saola speaks http to its clients",
                                            config::shown(protocol)));
  }
  const std::string header_map = lowered(settings.text("header_map").value_or("drop"));
  if (header_map == "dangerous") {
    settings.warn("header_map", "fields with _ in their name are dropped all the same");
  } else if (header_map == "refuse") {
    settings.refuse("header_map",
                    "refuse is not supported: fields with _ in their name are dropped");
  } else if (header_map != "drop") {
    settings.refuse("header_map", fmt::format("must be drop, refuse or dangerous, not {}",
                                              config::shown(header_map)));
  }
}

}  // namespace

void apply_listeners(DropinSettings& settings, config::Config& config) {
  check_other_protocols(settings);
  apply_addresses(settings, config);
  apply_tls(settings, config);
  apply_trust(settings, config);
  const std::vector<std::string> protocols = protocols_of(settings);
  const auto backlog = settings.number("backlog");
  const auto mask = settings.number("umask");
  for (config::Listen& listen : config.listen) {
    constexpr std::int64_t kLongest = 65535;
    if (!protocols.empty()) listen.protocols = protocols;
    if (backlog) listen.backlog = static_cast<int>(std::clamp<std::int64_t>(*backlog, 1, kLongest));
    if (mask) listen.mode = static_cast<int>(0666 & ~*mask);
  }
}

}  // namespace saola::cli
