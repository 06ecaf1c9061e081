// What a child finds when it begins: sent as text over its control channel, for
// process_launcher_test.
#include <dirent.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <sstream>
#include <string>

#include "common/ipc/control_channel.h"

// <unistd.h> declares environ if _GNU_SOURCE is defined, which g++ does.

namespace {

std::string open_descriptors() {
  std::string list;
  for (int fd = 0; fd < 256; ++fd) {
    if (::fcntl(fd, F_GETFD) >= 0) list += std::to_string(fd) + " ";
  }
  return list;
}

int count_blocked_or_ignored() {
  sigset_t blocked;
  sigprocmask(SIG_BLOCK, nullptr, &blocked);
  int count = 0;
  // The real-time signals below 34 are the C library's.
  for (int number = 1; number < 32; ++number) {
    struct sigaction action {};
    if (number == SIGPIPE || sigaction(number, nullptr, &action) != 0) continue;
    if (sigismember(&blocked, number) == 1 || action.sa_handler == SIG_IGN) ++count;
  }
  return count;
}

}  // namespace

int main(int, char** argv) {
  const std::string role = std::getenv("SAOLA_ROLE");
  const int control = std::atoi(role.substr(role.find(':') + 1).c_str());
  int death_signal = 0;
  prctl(PR_GET_PDEATHSIG, &death_signal);
  int roles = 0;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    if (std::string(*entry).rfind("SAOLA_ROLE=", 0) == 0) ++roles;
  }
  std::ostringstream text;
  text << "title=" << argv[0] << "\nrole=" << role.substr(0, role.find(':')) << "\nroles=" << roles
       << "\nfds=" << open_descriptors() << "\nown=" << control
       << "\nleads_group=" << (getpgid(0) == getpid()) << "\ndeath_signal=" << death_signal
       << "\nno_new_privs=" << prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
       << "\nblocked_or_ignored=" << count_blocked_or_ignored() << "\nuid=" << getuid() << " "
       << geteuid() << "\ngid=" << getgid() << " " << getegid()
       << "\ngroups=" << getgroups(0, nullptr) << "\n";
  saola::ipc::ControlChannel channel{saola::UniqueFd(control)};
  if (!channel.send(text.str())) return 1;
  // Lives until it is killed or the other side closes.
  int flags = fcntl(control, F_GETFL);
  fcntl(control, F_SETFL, flags & ~O_NONBLOCK);
  char byte = 0;
  while (read(control, &byte, 1) > 0) {
  }
  return 5;
}
