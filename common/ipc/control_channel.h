// ControlChannel: messages and descriptors between the supervisor and one child, over a
// SOCK_SEQPACKET socket pair: one message is one packet of JSON (control_message.h says which). The
// supervisor trusts no child: a malformed or oversized packet closes the channel, which ends the
// child.
#pragma once

#include <deque>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/core/result.h"
#include "common/core/unique_fd.h"

namespace saola::ipc {

class ControlChannel {
 public:
  static constexpr std::size_t kMaxMessage = 128 * 1024;
  static constexpr std::size_t kMaxFds = 253;  // SCM_MAX_FD, unix(7)
  // Messages that may wait for a peer that does not read; one more and the channel counts as
  // broken.
  static constexpr std::size_t kMaxPending = 4096;

  // Both ends are non-blocking and close-on-exec.
  static Result<std::pair<UniqueFd, UniqueFd>> make_pair();

  explicit ControlChannel(UniqueFd socket) : socket_(std::move(socket)) {}

  struct Received {
    std::string text;
    std::vector<UniqueFd> fds;
    bool closed = false;  // the other side has gone
    bool again = false;   // nothing there now
  };
  // One message, `closed` or `again`. An error (a packet or descriptors cut off, EMFILE included)
  // means that the channel cannot be used any more.
  Result<Received> receive();

  // Sends now or keeps the message, with duplicates of `fds`, until flush(); an error means that
  // the channel is broken. The caller keeps its descriptors. Order is kept.
  Result<void> send(std::string_view text, const std::vector<int>& fds = {});
  // Sends what waits as far as the socket takes it; call when writable.
  Result<void> flush();
  bool wants_write() const { return !pending_.empty(); }

  int fd() const { return socket_.get(); }

 private:
  struct Pending {
    std::string text;
    std::vector<UniqueFd> fds;
  };
  // False: the socket is full.
  Result<bool> send_now(std::string_view text, const std::vector<int>& fds);

  UniqueFd socket_;
  std::deque<Pending> pending_;
};

}  // namespace saola::ipc
