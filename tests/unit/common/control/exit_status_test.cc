#include "common/control/exit_status.h"

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <csignal>

namespace saola::control {
namespace {

TEST(ExitStatus, NamesExitCodesAndSignals) {
  EXPECT_EQ(describe_exit(W_EXITCODE(3, 0)), "exit code 3");
  EXPECT_EQ(describe_exit(W_EXITCODE(0, SIGKILL)), "killed by SIGKILL");
  EXPECT_EQ(describe_exit(W_EXITCODE(0, SIGSEGV) | WCOREFLAG), "killed by SIGSEGV (core dumped)");
  EXPECT_EQ(describe_exit(W_EXITCODE(0, 40)), "killed by signal 40");
}

TEST(ExitStatus, TellsASignalFromOutsideFromAFault) {
  for (const int number : {SIGKILL, SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1}) {
    EXPECT_TRUE(died_by_outside_signal(W_EXITCODE(0, number))) << number;
  }
  for (const int number : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS, SIGPIPE}) {
    EXPECT_FALSE(died_by_outside_signal(W_EXITCODE(0, number))) << number;
  }
  EXPECT_FALSE(died_by_outside_signal(W_EXITCODE(1, 0)));
}

}  // namespace
}  // namespace saola::control
