// Composition root: which role this process has, and what each side brings to the command line. No
// logic worth a test.
#include <fmt/format.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

#include "backend/worker_main.h"
#include "common/cli/commands.h"
#include "common/config/config.h"
#include "common/control/key_material.h"
#include "common/control/supervisor.h"
#include "proxy/access_log.h"
#include "proxy/admin/admin_main.h"
#include "proxy/edge_main.h"
#include "proxy/tls_context.h"

namespace saola {
namespace {

// SAOLA_ROLE ("edge:FD", "admin:FD", "worker:FD", "zygote:FD") is how the supervisor tells its children apart.
// It is not handed on to the application's own children.
int run_role(std::string_view role, char* title) {
  const std::size_t colon = role.find(':');
  const std::string_view name = role.substr(0, colon);
  int fd = -1;
  if (colon != std::string_view::npos) {
    const std::string_view digits = role.substr(colon + 1);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), fd);
    if (error != std::errc() || end != digits.data() + digits.size()) fd = -1;
  }
  if (fd >= 0 && name == "edge") return proxy::run_edge(fd);
  if (fd >= 0 && name == "admin") return proxy::run_admin(fd);
  if (fd >= 0 && name == "worker") return backend::run_worker(fd);
  if (fd >= 0 && name == "zygote") return backend::run_zygote(fd, {title, std::strlen(title) + 1});
  std::fprintf(stderr, "saola: SAOLA_ROLE is set by the supervisor only; unset it\n");
  return cli::kExitUsage;
}

std::vector<std::string> check_certificates(const config::Config& config) {
  const auto keys = control::read_key_material(config);
  if (!keys) return keys.error();
  std::vector<std::string> problems;
  for (std::size_t i = 0; i < config.listen.size(); ++i) {
    const config::Listen& listen = config.listen[i];
    if (!listen.tls) continue;
    const auto context = proxy::TlsContext::create(*listen.tls, listen.protocols, keys->pairs[i]);
    if (!context) {
      problems.push_back(fmt::format("[[listen]] {}: {}", listen.address, context.error().message));
    }
  }
  return problems;
}

Result<void> check_access_format(std::string_view format) {
  const auto parsed = proxy::AccessLogFormat::parse(format);
  if (!parsed) return Unexpected{parsed.error()};
  return {};
}

// The supervisor, or a command. In a process that another image gave away, whatever keeps this one
// from serving gives it back.
int run_main_process(int argc, char** argv) {
  auto received = control::Handover::receive();
  if (!received) {
    std::fprintf(stderr, "saola: %s\n", received.error().message.c_str());
    return cli::kExitUsage;
  }
  control::Handover* const handover = *received ? &**received : nullptr;
  const std::vector<std::string> arguments(argv, argv + argc);
  const bool only_asked = handover != nullptr && handover->only_asked();
  cli::Actions actions;
  actions.serve = [&](const config::Config& config, const cli::LoadAgain& load,
                      const cli::Background& where) {
    if (!only_asked) {
      const bool daemon = handover != nullptr ? handover->state().daemon : where.daemon;
      const control::SupervisorOptions options{config, load, arguments, daemon, handover};
      if (!daemon || handover != nullptr) return control::run_supervisor(options);
      return control::run_in_background(options, where.keeps_output);
    }
    const auto problems = check_certificates(config);
    for (const auto& problem : problems) std::fprintf(stderr, "%s\n", problem.c_str());
    if (!problems.empty()) return cli::kExitConfiguration;
    std::fputs(control::Handover::can_take_over().c_str(), stdout);
    return cli::kExitOk;
  };
  if (handover != nullptr && handover->resumes()) {
    actions.resume = [handover] { return handover->config(); };
  }
  actions.import_app = backend::check_import;
  actions.check_certificates = check_certificates;
  actions.check_access_format = check_access_format;
  const int exit_code = cli::run_command_line(
      cli::Invocation::from_process(argc, argv, std::cout, std::cerr), actions);
  if (handover == nullptr || !handover->may_give_back()) return exit_code;
  return handover->give_back(
      arguments,
      fmt::format("it ended with exit code {}; standard error has the reason", exit_code),
      exit_code);
}

}  // namespace
}  // namespace saola

int main(int argc, char** argv) {
  if (const char* role = std::getenv("SAOLA_ROLE")) {
    const std::string copy(role);
    ::unsetenv("SAOLA_ROLE");
    return saola::run_role(copy, argv[0]);
  }
  return saola::run_main_process(argc, argv);
}
