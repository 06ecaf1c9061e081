// Unix stream sockets by path, for the control socket and its clients.
#pragma once

#include <sys/types.h>

#include <string>

#include "common/core/result.h"
#include "common/core/unique_fd.h"

namespace saola::ipc {

// Connected and non-blocking. Never waits. Error codes: ENOENT (no such file), ECONNREFUSED (nobody listens, or no
// socket), EACCES (not allowed), EAGAIN (the listener's queue is full), ENAMETOOLONG, others.
Result<UniqueFd> connect_unix(const std::string& path);

// Listening and non-blocking, with permissions `mode` from the first moment on. A socket file that
// nobody listens on is replaced. Error code EADDRINUSE: somebody does; EEXIST: something else than
// a socket is there.
Result<UniqueFd> listen_unix(const std::string& path, mode_t mode);

// A socket file as it was made, to be removed only while it is still that one.
class SocketFile {
 public:
  SocketFile() = default;
  explicit SocketFile(std::string path);  // of a file that is there
  SocketFile(SocketFile&& other) noexcept;
  SocketFile& operator=(SocketFile&& other) noexcept;
  ~SocketFile() { remove(); }

  const std::string& path() const { return path_; }
  // True while the path leads to it.
  bool is_there() const;

 private:
  void remove();
  std::string path_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

}  // namespace saola::ipc
