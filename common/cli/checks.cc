#include "common/cli/checks.h"

#include <utility>

namespace saola::cli {

std::vector<config::Problem> check_files(const config::Config& config, const Actions& actions) {
  std::vector<config::Problem> problems;
  for (std::string& message : actions.check_certificates(config)) {
    problems.push_back({"", std::move(message)});
  }
  if (!config.log.access.empty()) {
    if (const auto known = actions.check_access_format(config.log.access_format); !known) {
      problems.push_back({"log.access_format", known.error().message});
    }
  }
  return problems;
}

}  // namespace saola::cli
