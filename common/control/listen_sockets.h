// ListenSockets: the configured addresses, bound once. They belong to the supervisor and outlive
// the edges that accept on them: a restarted edge gets the same sockets and no connection in the
// queue is lost. The sockets of a reloaded configuration are those of the one before where the
// address is the same; what neither uses any more closes with its last user.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <utility>
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
    UniqueFd fd;          // listening, non-blocking, close-on-exec
    std::string address;  // as configured
    std::string shown;    // "https://127.0.0.1:8443", with the port that the system chose
    bool ipv6_only = true;

    Socket() = default;
    Socket(const Socket&) = delete;
    Socket& operator=(const Socket&) = delete;
    ~Socket();

    // Of a Unix socket: removed with it if it is still ours.
    std::string path;
    dev_t device = 0;
    ino_t inode = 0;
    int inherited = -1;  // the descriptor that it was made of, fd:N
  };

  // In order of config.listen, or everything that is wrong, each with a hint what to do. A file of
  // a Unix socket is replaced only if nobody listens on it; new ones belong to `owner`, if that
  // changes anything.
  // `before`: those of the configuration that serves now; null: none. A Unix socket among them
  // whose file has gone is made anew.
  static Result<ListenSockets, std::vector<std::string>> open(
      const config::Config& config, const Credentials& owner,
      const ListenSockets* before = nullptr);

  // Those of an earlier image of this process; `shown` is not known yet.
  static ListenSockets adopt(std::vector<std::shared_ptr<Socket>> sockets) {
    ListenSockets adopted;
    adopted.sockets_ = std::move(sockets);
    return adopted;
  }

  const std::vector<std::shared_ptr<Socket>>& sockets() const { return sockets_; }
  // At the end of service: closes what nobody else uses, inherited descriptors (fd:N) too; these
  // stay open if the object is only destroyed. Once the edge has closed its own, clients are
  // refused instead of waiting in a queue that nobody serves.
  void close();

  std::vector<int> descriptors() const;
  std::vector<std::string> addresses() const;

 private:
  std::vector<std::shared_ptr<Socket>> sockets_;
};

}  // namespace saola::control
