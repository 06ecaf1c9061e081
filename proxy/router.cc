#include "proxy/router.h"

#include "proxy/http1/syntax.h"
#include "proxy/request_target.h"

namespace saola::proxy {
namespace {

bool host_matches(std::string_view pattern, std::string_view host) {
  if (pattern.empty()) return true;
  // A trailing dot only says that the name is absolute.
  if (host.ends_with('.')) host.remove_suffix(1);
  if (!pattern.starts_with("*.")) return http1::equals_ignoring_case(pattern, host);
  // "*.example.com": any name below, at least one label more, not example.com itself.
  const auto suffix = pattern.substr(1);
  return host.size() > suffix.size() &&
         http1::equals_ignoring_case(host.substr(host.size() - suffix.size()), suffix);
}

bool path_matches(const config::Route& route, std::string_view path) {
  const std::string_view pattern = route.path;
  if (!pattern.ends_with('/')) return path == pattern;
  if (!path.starts_with(pattern)) return false;
  // With the prefix cut off, "/prefix/../x" would leave the application's part of the site.
  return !route.strip_prefix || !climbs_above_root(path.substr(pattern.size() - 1));
}

}  // namespace

Router::Router(const config::Config& config) : config_(&config) {
  if (config.apps.size() == 1) only_app_ = config.apps.begin()->first;
}

RouteMatch Router::match(std::string_view host, std::string_view path) const {
  RouteMatch match;
  if (config_->routes.empty()) {
    match.app = only_app_;
    return match;
  }
  for (const auto& route : config_->routes) {
    if (!host_matches(route.host, host) || !path_matches(route, path)) continue;
    match.route = &route;
    if (!route.redirect.empty()) return match;
    match.app = route.app.empty() ? std::string_view(only_app_) : std::string_view(route.app);
    // SCRIPT_NAME has no slash at its end, and what is left starts with one (PEP 3333).
    if (route.strip_prefix && route.path.ends_with('/')) {
      match.root_path = std::string_view(route.path).substr(0, route.path.size() - 1);
    }
    return match;
  }
  return match;
}

std::string redirect_location(std::string_view pattern, std::string_view host,
                              std::string_view uri) {
  constexpr std::string_view kHost = "{host}";
  constexpr std::string_view kUri = "{uri}";
  std::string location;
  location.reserve(pattern.size() + host.size() + uri.size());
  while (!pattern.empty()) {
    if (pattern.starts_with(kHost)) {
      location.append(host);
      pattern.remove_prefix(kHost.size());
    } else if (pattern.starts_with(kUri)) {
      location.append(uri);
      pattern.remove_prefix(kUri.size());
    } else {
      location.push_back(pattern.front());
      pattern.remove_prefix(1);
    }
  }
  return location;
}

}  // namespace saola::proxy
