#include "common/cli/dropin_command.h"

#include <ostream>

namespace saola::cli {

int run_dropin(const Invocation& invocation, const Actions& actions) {
  (void)actions;
  *invocation.err << "saola: drop-in mode: not available in this version\n";
  return kExitUsage;
}

}  // namespace saola::cli
