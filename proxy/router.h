// Host and path -> what answers. First match wins. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/config/config.h"

namespace saola::proxy {

struct RouteMatch {
  const config::Route* route = nullptr;  // null: nothing matches (404), or no routes: the only app
  std::string_view app;                  // empty: a redirect, or nothing matches
  std::string_view root_path;            // prefix that strip_prefix moves to SCRIPT_NAME
};

class Router {
 public:
  Router() = default;
  // `config` outlives the router.
  explicit Router(const config::Config& config);

  // `host` without port, any case; `path` decoded. A route with strip_prefix does not match a path
  // that leaves its prefix again ("/prefix/../x").
  RouteMatch match(std::string_view host, std::string_view path) const;

 private:
  const config::Config* config_ = nullptr;
  std::string only_app_;
};

// The Location of a redirect route: {host} and {uri} (raw path and query) are replaced.
std::string redirect_location(std::string_view pattern, std::string_view host,
                              std::string_view uri);

}  // namespace saola::proxy
