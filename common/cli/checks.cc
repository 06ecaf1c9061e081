#include "common/cli/checks.h"

#include <utility>

#include "common/config/log_plan.h"

namespace saola::cli {

std::vector<config::Problem> check_files(const config::Config& config, const Actions& actions) {
  std::vector<config::Problem> problems;
  for (std::string& message : actions.check_certificates(config)) {
    problems.push_back({"", std::move(message)});
  }
  if (config::has_access_log(config.log)) {
    if (const auto known = actions.check_access_format(config.log.access_format); !known) {
      problems.push_back({"log.access_format", known.error().message});
    }
  }
  return problems;
}

}  // namespace saola::cli
