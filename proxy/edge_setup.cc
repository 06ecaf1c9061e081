#include "proxy/edge_setup.h"

#include <utility>

#include "common/config/config_loader.h"
#include "common/config/log_plan.h"
#include "common/ipc/control_message.h"

namespace saola::proxy {
namespace {

Result<std::shared_ptr<Listener::Context>> make_context(const config::Listen& listen,
                                                        const std::vector<ipc::KeyPair>& pairs,
                                                        std::vector<std::string>& warnings) {
  auto trusted = TrustedNetworks::parse(listen.trusted);
  if (!trusted) return Unexpected{trusted.error()};
  auto context =
      std::make_shared<Listener::Context>(Listener::Context{listen, nullptr, *std::move(trusted)});
  if (!listen.tls) return context;
  auto tls = TlsContext::create(*listen.tls, listen.protocols, pairs);
  if (!tls) return fail(listen.address + ": " + tls.error().message);
  for (const std::string& warning : (*tls)->warnings()) {
    warnings.push_back(listen.address + ": " + warning);
  }
  context->tls = *std::move(tls);
  return context;
}

}  // namespace

Result<std::unique_ptr<EdgeSetup>> make_edge_setup(std::vector<UniqueFd> fds, bool has_access_log,
                                                   std::uint32_t listeners) {
  const std::size_t before = has_access_log ? 5 : 4;
  if (fds.size() != before + listeners) return fail("a configuration without its descriptors");
  const auto text = ipc::read_memory_file(fds[0]);
  if (!text) return Unexpected{text.error()};
  const auto start = ipc::parse_edge_start(*text);
  if (!start) return Unexpected{start.error()};
  auto config = config::load_config({start->config_dir + "/saola.toml", start->config_toml, {}});
  if (!config) return fail("configuration: " + config::to_string(config.error().front()));
  if (config->listen.size() != listeners || start->key_pairs.size() != listeners) {
    return fail("a configuration with other listeners than sockets");
  }
  auto store = metrics::MetricStore::map(fds[2]);
  if (!store) return Unexpected{store.error()};
  auto setup = std::make_unique<EdgeSetup>(*std::move(store));
  setup->config = *std::move(config);
  auto scoreboard = ipc::Scoreboard::map_server(fds[1]);
  if (!scoreboard) return Unexpected{scoreboard.error()};
  setup->scoreboard.emplace(*std::move(scoreboard));
  setup->error_log = std::move(fds[3]);
  if (has_access_log) {
    setup->access_log = std::move(fds[4]);
    auto format = AccessLogFormat::parse(setup->config.log.access_format,
                                         config::redaction(setup->config.log));
    if (!format) return Unexpected{format.error()};
    setup->access_format = std::make_unique<AccessLogFormat>(*std::move(format));
  }
  for (std::size_t i = 0; i < listeners; ++i) {
    auto context = make_context(setup->config.listen[i], start->key_pairs[i], setup->warnings);
    if (!context) return Unexpected{context.error()};
    setup->contexts.push_back(*std::move(context));
    setup->sockets.push_back(std::move(fds[before + i]));
  }
  return setup;
}

}  // namespace saola::proxy
