// EdgeSetup: what one configuration needs at the edge, made beside the one in use: TLS contexts,
// the access log's format, descriptors. Everything that can be wrong with a configuration is found
// here, so that putting a setup in place cannot fail.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/config/config.h"
#include "common/core/result.h"
#include "common/core/unique_fd.h"
#include "common/ipc/scoreboard.h"
#include "common/metrics/metric_store.h"
#include "proxy/access_log.h"
#include "proxy/listener.h"

namespace saola::proxy {

struct EdgeSetup {
  explicit EdgeSetup(metrics::MetricStore store) : metric_store(std::move(store)) {}

  std::uint32_t generation = 0;
  config::Config config;
  std::unique_ptr<AccessLogFormat> access_format;  // null: no access log
  UniqueFd error_log;
  UniqueFd access_log;
  std::vector<UniqueFd> sockets;                             // in the order of config.listen
  std::vector<std::shared_ptr<Listener::Context>> contexts;  // one for each
  std::vector<std::string> warnings;                         // of the certificates
  std::optional<ipc::Scoreboard> scoreboard;                 // the edge's page
  metrics::MetricStore metric_store;                         // the same each time
};

// `fds` are those of EdgeInit and EdgePrepare.
Result<std::unique_ptr<EdgeSetup>> make_edge_setup(std::vector<UniqueFd> fds, bool has_access_log,
                                                   std::uint32_t listeners);

}  // namespace saola::proxy
