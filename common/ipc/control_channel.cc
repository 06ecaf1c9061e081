#include "common/ipc/control_channel.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace saola::ipc {
namespace {

// A packet must fit into the send buffer whole, whatever the system's default is.
constexpr int kSocketBuffer = static_cast<int>(2 * ControlChannel::kMaxMessage);

void take_fds(msghdr& message, std::vector<UniqueFd>& fds) {
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr;
       part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(part) + i * sizeof(int), sizeof fd);
      fds.emplace_back(fd);
    }
  }
}

}  // namespace

Result<std::pair<UniqueFd, UniqueFd>> ControlChannel::make_pair() {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()) != 0) {
    return Unexpected{system_error("make a control channel", errno)};
  }
  for (const int end : ends) {
    // A refusal leaves the default, which is larger than one message on every stock kernel.
    ::setsockopt(end, SOL_SOCKET, SO_SNDBUF, &kSocketBuffer, sizeof kSocketBuffer);
  }
  return std::pair(UniqueFd(ends[0]), UniqueFd(ends[1]));
}

Result<ControlChannel::Received> ControlChannel::receive() {
  Received received;
  received.text.resize(kMaxMessage);
  iovec bytes{received.text.data(), received.text.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kMaxFds * sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &bytes;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();

  ssize_t got = 0;
  bool reset = false;
  do {
    got = ::recvmsg(socket_.get(), &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    // A peer that ended without reading our last message is reported once, before what it said; its
    // last words are still there.
  } while (got < 0 && (errno == EINTR || (errno == ECONNRESET && !std::exchange(reset, true))));
  if (got < 0) {
    received.text.clear();
    received.again = errno == EAGAIN || errno == EWOULDBLOCK;
    received.closed = errno == ECONNRESET || errno == EPIPE;
    if (received.again || received.closed) return received;
    return Unexpected{system_error("receive on the control channel", errno)};
  }
  take_fds(message, received.fds);
  if ((message.msg_flags & MSG_TRUNC) != 0) return fail("control message is too long");
  if ((message.msg_flags & MSG_CTRUNC) != 0) {
    return fail("control message lost its descriptors (descriptor limit?)");
  }
  // Nobody sends empty packets: this is the end of file.
  received.closed = got == 0;
  received.text.resize(static_cast<std::size_t>(got));
  return received;
}

Result<bool> ControlChannel::send_now(std::string_view text, const std::vector<int>& fds) {
  iovec bytes{const_cast<char*>(text.data()), text.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kMaxFds * sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &bytes;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(fds.size() * sizeof(int));
    cmsghdr* part = CMSG_FIRSTHDR(&message);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
    std::memcpy(CMSG_DATA(part), fds.data(), fds.size() * sizeof(int));
  }
  ssize_t sent = 0;
  do {
    sent = ::sendmsg(socket_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  } while (sent < 0 && errno == EINTR);
  if (sent >= 0) return true;
  if (errno == EAGAIN || errno == EWOULDBLOCK) return false;
  return Unexpected{system_error("send on the control channel", errno)};
}

Result<void> ControlChannel::send(std::string_view text, const std::vector<int>& fds) {
  if (text.empty() || text.size() > kMaxMessage) return fail("control message is too long");
  if (fds.size() > kMaxFds) return fail("too many descriptors for one control message");
  if (pending_.empty()) {
    auto sent = send_now(text, fds);
    if (!sent) return Unexpected{std::move(sent).error()};
    if (*sent) return {};
  }
  if (pending_.size() >= kMaxPending) return fail("the other side does not read its messages");
  Pending waiting{std::string(text), {}};
  for (const int fd : fds) {
    UniqueFd copy(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
    if (!copy) return Unexpected{system_error("keep a descriptor for a control message", errno)};
    waiting.fds.push_back(std::move(copy));
  }
  pending_.push_back(std::move(waiting));
  return {};
}

Result<void> ControlChannel::flush() {
  while (!pending_.empty()) {
    std::vector<int> fds;
    for (const auto& fd : pending_.front().fds) fds.push_back(fd.get());
    auto sent = send_now(pending_.front().text, fds);
    if (!sent) return Unexpected{std::move(sent).error()};
    if (!*sent) return {};
    pending_.pop_front();
  }
  return {};
}

}  // namespace saola::ipc
