// Socket activation: listening sockets that a service manager opened (sd_listen_fds(3)). They are
// descriptors from 3 on; LISTEN_PID says for whom, LISTEN_FDS how many, LISTEN_FDNAMES their names.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/core/result.h"

namespace saola::config {

struct ActivatedSocket {
  int fd = -1;
  std::string name;  // "unknown" where the manager named none
};

// Empty if the sockets are for another process, or the numbers are no numbers.
std::vector<ActivatedSocket> activated_sockets(std::string_view listen_pid,
                                               std::string_view listen_fds,
                                               std::string_view listen_fdnames, long own_pid);
// Of this process, by its environment.
std::vector<ActivatedSocket> activated_sockets();

// The descriptor of the only socket of that name. The error lists what there is.
Result<int> find_activated(std::string_view name, const std::vector<ActivatedSocket>& sockets);

}  // namespace saola::config
