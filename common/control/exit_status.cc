#include "common/control/exit_status.h"

#include <sys/wait.h>

#include <csignal>
#include <cstring>

namespace saola::control {

std::string describe_exit(int wait_status) {
  if (WIFEXITED(wait_status)) return "exit code " + std::to_string(WEXITSTATUS(wait_status));
  if (!WIFSIGNALED(wait_status)) return "wait status " + std::to_string(wait_status);
  const int number = WTERMSIG(wait_status);
  const char* name = ::sigabbrev_np(number);
  std::string text = "killed by ";
  text += name != nullptr ? "SIG" + std::string(name) : "signal " + std::to_string(number);
  if (WCOREDUMP(wait_status)) text += " (core dumped)";
  return text;
}

bool died_by_outside_signal(int wait_status) {
  if (!WIFSIGNALED(wait_status)) return false;
  switch (WTERMSIG(wait_status)) {
    case SIGSEGV:
    case SIGBUS:
    case SIGILL:
    case SIGFPE:
    case SIGABRT:
    case SIGTRAP:
    case SIGSYS:
    case SIGXCPU:
    case SIGXFSZ:
    case SIGPIPE:
      return false;
    default:
      return true;
  }
}

}  // namespace saola::control
