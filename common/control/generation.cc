#include "common/control/generation.h"

#include <fmt/format.h>

#include <utility>

#include "common/config/config_loader.h"
#include "common/config/paths.h"
#include "common/control/key_material.h"
#include "common/ipc/control_message.h"

namespace saola::control {
namespace {

// The admin process's address as a listener, so that sockets and keys are had in the one way.
config::Config admin_view(const config::Config& config) {
  config::Config view;
  view.directory = config.directory;
  const config::Admin& admin = config.admin;
  if (admin.listen.empty()) return view;
  config::Listen& listen = view.listen.emplace_back();
  listen.address = admin.listen;
  if (!admin.certificate.empty()) {
    listen.tls.emplace().certificates = {{admin.certificate, admin.key, admin.key_password_file}};
  }
  return view;
}

}  // namespace

void make_admin(Generation& made, const Credentials& owner, const ListenSockets* before,
                std::vector<std::string>& problems) {
  const config::Config view = admin_view(made.config);
  const config::Admin& admin = made.config.admin;
  const auto blame = [&problems](std::string text) {
    if (text.starts_with("[[listen]]")) text.erase(0, text.find(' ') + 1);
    problems.push_back("[admin] " + text);
  };
  // No more than it needs: it is replaced if this differs, and the rest has secrets.
  config::Config shown;
  shown.directory = made.config.directory;
  shown.admin = admin;
  shown.log.level = made.config.log.level;
  for (const auto& [name, app] : made.config.apps) shown.apps[name].target = app.target;
  ipc::AdminStart start{config::print_config(shown, true), shown.directory, {}, {}};
  if (!admin.token_file.empty()) {
    auto token = read_secret(config::resolve_path(made.config, admin.token_file));
    if (!token) return blame("token_file " + token.error().message);
    start.token = *std::move(token);
  }
  auto keys = read_key_material(view);
  if (!keys) {
    for (const auto& text : keys.error()) blame(text);
    return;
  }
  if (!keys->pairs.empty()) start.key_pairs = std::move(keys->pairs.front());
  for (auto& text : keys->warnings) made.warnings.push_back("[admin] " + text);
  auto sockets = ListenSockets::open(view, owner, before);
  if (sockets) {
    made.admin_sockets = *std::move(sockets);
  } else if (admin.listen == config::Admin::kDefaultAddress) {
    made.warnings.push_back("no metrics and no health checks: " + sockets.error().front() +
                            "; set [admin] listen");
  } else {
    for (const auto& text : sockets.error()) blame(text);
    return;
  }
  auto file = ipc::make_memory_file(ipc::to_json(start));
  if (!file) return problems.push_back(file.error().message);
  made.admin_start = *std::move(file);
}

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
  make_admin(*made, owner, before != nullptr ? &before->admin_sockets : nullptr, problems.texts);
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
