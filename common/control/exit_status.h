// What a wait status says about a process's end, in words for the log.
#pragma once

#include <string>

namespace saola::control {

// "exit code 3", "killed by SIGSEGV (core dumped)". `wait_status` as waitpid(2) gives it.
std::string describe_exit(int wait_status);

// True for a signal that somebody else sent (SIGKILL, SIGTERM, ...), false for one that a process
// brings on itself by a fault (SIGSEGV, SIGABRT, ...) and for a normal exit. The out-of-memory
// killer counts as somebody else.
bool died_by_outside_signal(int wait_status);

}  // namespace saola::control
