// Who the children run as: `[server] user` and `group` looked up while that is possible.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "common/core/result.h"

namespace saola::control {

struct Credentials {
  bool change = false;  // false: children stay what the supervisor is
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;  // supplementary, as initgroups(3) would set them
};

// Names or numbers; both may be empty. A group that is not named is the user's own. Not being root,
// any user or group but the present ones is an error: it would silently not be obeyed.
Result<Credentials> resolve_credentials(const std::string& user, const std::string& group);

}  // namespace saola::control
