#include "common/cli/dropin_command.h"

#include <ostream>
#include <string_view>

#include "common/cli/checks.h"
#include "common/cli/dropin.h"
#include "common/cli/file_options.h"
#include "common/cli/gunicorn_settings.h"
#include "common/config/shown_text.h"

namespace saola::cli {
namespace {

constexpr std::string_view kHelpHead =
    R"(saola [OPTIONS] MODULE:APP    serves the application, with gunicorn's options and GUNICORN_CMD_ARGS

MODULE:APP is module:attribute, module:attribute.sub or module:factory().

)";

void print_errors(std::ostream& err, const std::vector<config::Problem>& problems) {
  for (const config::Problem& problem : problems) {
    err << "saola: error: " << config::to_string(problem) << '\n';
  }
}

// gunicorn's --check-config: 0 or 1.
int check(const Dropin& dropin, const Invocation& invocation, const Actions& actions) {
  const auto problems = check_files(dropin.config, actions);
  print_errors(*invocation.err, problems);
  if (!problems.empty()) return kExitFailed;
  const bool imported = actions.import_app(dropin.config) == kExitOk;
  return imported ? kExitOk : kExitFailed;
}

void print_effective(const Dropin& dropin, std::ostream& out) {
  out << "# Paths are relative to " << config::toml_quoted(dropin.config.directory) << ".\n"
      << config::print_config(dropin.config, /*show_secrets=*/false);
}

}  // namespace

int run_dropin(const Invocation& invocation, const Actions& actions) {
  std::ostream& err = *invocation.err;
  if (actions.resume) {
    auto served = actions.resume();
    if (served) return actions.serve(*served, [&served] { return served; }, {});
    err << "saola: " << served.error().message << '\n';
    return kExitConfiguration;
  }
  const auto dropin =
      read_dropin({invocation.arguments, invocation.environment, invocation.directory});
  if (!dropin) {
    for (const std::string& message : dropin.error()) err << "saola: error: " << message << '\n';
    return kExitUsage;
  }
  if (dropin->help) {
    *invocation.out << kHelpHead << describe_settings();
    return kExitOk;
  }
  if (dropin->version) {
    *invocation.out << "saola " SAOLA_VERSION "\n";
    return kExitOk;
  }
  for (const std::string& warning : dropin->warnings) err << "saola: warning: " << warning << '\n';
  const auto problems = config::validate(dropin->config);
  print_errors(err, problems);
  if (!problems.empty()) return dropin->check_config ? kExitFailed : kExitConfiguration;
  if (dropin->print_config) print_effective(*dropin, *invocation.out);
  if (dropin->check_config) return check(*dropin, invocation, actions);
  if (dropin->print_config) return kExitOk;
  // The flags cannot change while the server runs: a reload imports the application anew.
  warn_of_lost_log(err, dropin->config, dropin->where);
  return actions.serve(
      dropin->config, [&dropin] { return Result<config::Config>(dropin->config); }, dropin->where);
}

}  // namespace saola::cli
