#include "common/control/generation.h"

#include <fmt/format.h>

#include <utility>

#include "common/config/config_loader.h"
#include "common/control/key_material.h"
#include "common/ipc/control_message.h"

namespace saola::control {

Result<std::shared_ptr<Generation>, GenerationProblems> make_generation(std::uint32_t number,
                                                                        config::Config config,
                                                                        const Credentials& owner,
                                                                        const Generation* before) {
  auto made = std::make_shared<Generation>();
  made->number = number;
  made->config = std::move(config);
  auto keys = read_key_material(made->config);
  auto sockets =
      ListenSockets::open(made->config, owner, before != nullptr ? &before->sockets : nullptr);
  GenerationProblems problems;
  if (!keys) {
    problems.texts = keys.error();
    problems.configuration = true;
  }
  if (!sockets) {
    problems.texts.insert(problems.texts.end(), sockets.error().begin(), sockets.error().end());
  }
  if (!problems.texts.empty()) return Unexpected{std::move(problems)};
  made->sockets = *std::move(sockets);
  made->warnings = std::move(keys->warnings);

  const std::string text = config::print_config(made->config, true);
  auto edge_start = ipc::make_memory_file(
      ipc::to_json(ipc::EdgeStart{text, made->config.directory, std::move(keys->pairs)}));
  auto worker_start =
      ipc::make_memory_file(ipc::to_json(ipc::WorkerStart{text, made->config.directory}));
  if (!edge_start) problems.texts.push_back(edge_start.error().message);
  if (!worker_start) problems.texts.push_back(worker_start.error().message);
  if (!problems.texts.empty()) return Unexpected{std::move(problems)};
  made->edge_start = *std::move(edge_start);
  made->worker_start = *std::move(worker_start);
  return made;
}

std::vector<std::string> needs_restart(const config::Config& now, const config::Config& next) {
  std::vector<std::string> problems;
  const auto keep = [&problems](const char* key, const auto& was, const auto& is) {
    if (was == is) return;
    problems.push_back(fmt::format(
        "[server] {} cannot change while the server runs (it is {}): restart to change it", key,
        was.empty() ? "not set" : fmt::format("\"{}\"", was)));
  };
  keep("user", now.server.user, next.server.user);
  keep("group", now.server.group, next.server.group);
  keep("runtime_dir", now.server.runtime_dir, next.server.runtime_dir);
  keep("pid_file", now.server.pid_file, next.server.pid_file);
  keep("control_socket", now.server.control_socket, next.server.control_socket);
  return problems;
}

}  // namespace saola::control
