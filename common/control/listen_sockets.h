// ListenSockets: the configured addresses, bound once. They belong to the supervisor and outlive
// the edges that accept on them: a restarted edge gets the same sockets and no connection in the
// queue is lost.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "common/config/config.h"
#include "common/control/credentials.h"
#include "common/core/result.h"
#include "common/core/unique_fd.h"

namespace saola::control {

class ListenSockets {
 public:
  // More would not fit into one message to the edge.
  static constexpr std::size_t kMost = 240;

  struct Socket {
    UniqueFd fd;        // listening, non-blocking, close-on-exec
    std::string shown;  // "https://127.0.0.1:8443", with the port that the system chose
  };

  // In order of config.listen, or everything that is wrong, each with a hint what to do. A file of
  // a Unix socket is replaced only if nobody listens on it; new ones belong to `owner`, if that
  // changes anything.
  static Result<ListenSockets, std::vector<std::string>> open(const config::Config& config,
                                                              const Credentials& owner);

  ListenSockets(ListenSockets&&) noexcept = default;
  ListenSockets& operator=(ListenSockets&&) = delete;
  ~ListenSockets();  // close(), except for what was inherited

  const std::vector<Socket>& sockets() const { return sockets_; }

  // At the end of service: closes our copies, those that were inherited as fd:N included, and
  // removes the files of Unix sockets that are still ours. Once the edge has closed its own,
  // clients are refused instead of waiting in a queue that nobody serves.
  void close();

 private:
  struct UnixFile {
    std::string path;
    dev_t device;
    ino_t inode;
  };
  ListenSockets() = default;
  Result<Socket> open_one(const config::Config& config, const config::Listen& listen,
                          const Credentials& owner);
  void remove_files();
  Result<UniqueFd> open_unix(const std::string& path, const config::Listen& listen,
                             const Credentials& owner);

  std::vector<Socket> sockets_;
  std::vector<UnixFile> files_;
  std::vector<int> inherited_;
};

}  // namespace saola::control
