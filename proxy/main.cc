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
#include "proxy/edge_main.h"
#include "proxy/tls_context.h"

namespace saola {
namespace {

// SAOLA_ROLE ("edge:FD", "worker:FD", "zygote:FD") is how the supervisor tells its children apart.
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
  if (fd >= 0 && name == "worker") return backend::run_worker(fd);
  if (fd >= 0 && name == "zygote") return backend::run_zygote(fd, {title, std::strlen(title) + 1});
  std::fprintf(stderr, "saola: SAOLA_ROLE is set by the supervisor only; unset it\n");
  return cli::kExitUsage;
}

int serve(const config::Config& config, const cli::LoadAgain& load) {
  return control::run_supervisor(control::SupervisorOptions{config, load});
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

}  // namespace
}  // namespace saola

int main(int argc, char** argv) {
  if (const char* role = std::getenv("SAOLA_ROLE")) {
    const std::string copy(role);
    ::unsetenv("SAOLA_ROLE");
    return saola::run_role(copy, argv[0]);
  }
  saola::cli::Actions actions;
  actions.serve = saola::serve;
  actions.import_app = saola::backend::check_import;
  actions.check_certificates = saola::check_certificates;
  actions.check_access_format = saola::check_access_format;
  return saola::cli::run_command_line(
      saola::cli::Invocation::from_process(argc, argv, std::cout, std::cerr), actions);
}
