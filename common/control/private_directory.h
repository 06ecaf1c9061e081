// Directories for the control socket, made by the supervisor.
#pragma once

#include <string>

#include "common/core/result.h"

namespace saola::control {

// There afterwards, with mode 0700 if it was not there before; one that was stays as it is.
Result<void> make_directory(const std::string& path);

// As make_directory(), and ours alone: an error if it is a link, somebody else's, or writable for
// others, who could put sockets of their own into it.
Result<void> make_private_directory(const std::string& path);

// Removes sockets named by process ids that are no more and on which nobody listens.
void remove_dead_sockets(const std::string& directory);

}  // namespace saola::control
