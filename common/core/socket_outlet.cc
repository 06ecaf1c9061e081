#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <utility>
#include <vector>

#include "common/core/c_ptr.h"
#include "common/core/log_outlet.h"
#include "common/core/record_style.h"

namespace saola {
namespace {

constexpr std::size_t kMessagesPerCall = 64;
// What every stack takes as one datagram; a longer message of syslog is cut.
constexpr std::size_t kLongestDatagram = 60 * 1024;
// What is still sent where even that was too much (RFC 5426 section 3.2 wants 2048 to arrive).
constexpr std::size_t kSurelyShort = 2048;

using AddressList = CPtr<addrinfo, ::freeaddrinfo>;

struct Destination {
  sockaddr_storage bytes{};
  socklen_t size = 0;
  int family = AF_UNSPEC;
};

std::vector<Destination> unix_destination(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) return {};
  std::memcpy(address.sun_path, path.data(), path.size());
  Destination destination;
  std::memcpy(&destination.bytes, &address, sizeof address);
  destination.size = sizeof address;
  destination.family = AF_UNIX;
  return {destination};
}

std::vector<Destination> look_up(const LogAddress& address) {
  if (address.kind == LogAddress::Kind::kUnix || address.kind == LogAddress::Kind::kJournal) {
    return unix_destination(address.host);
  }
  addrinfo hints{};
  hints.ai_socktype = address.kind == LogAddress::Kind::kTcp ? SOCK_STREAM : SOCK_DGRAM;
  addrinfo* found = nullptr;
  if (::getaddrinfo(address.host.c_str(), address.port.c_str(), &hints, &found) != 0) return {};
  const AddressList list(found);
  std::vector<Destination> destinations;
  for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
    Destination destination;
    std::memcpy(&destination.bytes, one->ai_addr, one->ai_addrlen);
    destination.size = one->ai_addrlen;
    destination.family = one->ai_family;
    destinations.push_back(destination);
  }
  return destinations;
}

class SocketOutlet final : public LogOutlet {
 public:
  SocketOutlet(LogAddress address, bool look_up_again)
      : address_(std::move(address)), look_up_again_(look_up_again) {}

  Outcome write(std::string_view bytes) override {
    if (!socket_ && !connect()) return {0, State::kDown};
    if (connecting_ && !finish_connecting()) {
      return {0, socket_ ? State::kFull : State::kDown};
    }
    return stream_ ? write_stream(bytes) : write_datagrams(bytes);
  }

  bool wait(std::chrono::milliseconds limit) override {
    pollfd room{socket_.get(), POLLOUT, 0};
    return ::poll(&room, 1, static_cast<int>(limit.count())) > 0;
  }

 private:
  bool connect() {
    if (destinations_.empty() || look_up_again_) destinations_ = look_up(address_);
    for (const Destination& destination : destinations_) {
      const bool local = destination.family == AF_UNIX;
      if (address_.kind != LogAddress::Kind::kTcp && connect_to(destination, SOCK_DGRAM)) {
        return true;
      }
      // What listens at a path may also want a stream, as libc's syslog(3) knows.
      const bool may_stream =
          address_.kind == LogAddress::Kind::kTcp || (local && errno == EPROTOTYPE);
      if (may_stream && connect_to(destination, SOCK_STREAM)) return true;
    }
    return false;
  }

  bool connect_to(const Destination& destination, int type) {
    socket_.reset(::socket(destination.family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket_) return false;
    stream_ = type == SOCK_STREAM;
    sent_of_first_ = 0;
    const int done = ::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&destination.bytes),
                               destination.size);
    connecting_ = done != 0 && errno == EINPROGRESS;
    if (done == 0 || connecting_) return true;
    const int reason = errno;
    socket_.reset();
    errno = reason;
    return false;
  }

  bool finish_connecting() {
    if (!wait(std::chrono::milliseconds(0))) return false;
    int error = 0;
    socklen_t size = sizeof error;
    connecting_ = false;
    if (::getsockopt(socket_.get(), SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0) {
      return true;
    }
    socket_.reset();
    return false;
  }

  Outcome failed() {
    if (errno == EINTR) return {0, State::kOk};
    if (errno == EAGAIN || errno == EWOULDBLOCK) return {0, State::kFull};
    if (errno != ENOBUFS) {
      sent_of_first_ = 0;  // a record that arrived in half is sent again, whole
      socket_.reset();
    }
    return {0, State::kDown};
  }

  // A peer that closed is noticed before more is lost in the socket's buffer.
  bool peer_has_closed() {
    pollfd end{socket_.get(), POLLRDHUP, 0};
    return ::poll(&end, 1, 0) > 0 && (end.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
  }

  Outcome write_stream(std::string_view bytes) {
    if (peer_has_closed()) {
      errno = EPIPE;
      return failed();
    }
    const std::string_view rest = bytes.substr(sent_of_first_);
    const ssize_t n = ::send(socket_.get(), rest.data(), rest.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0) return failed();
    const std::size_t sent = sent_of_first_ + static_cast<std::size_t>(n);
    std::size_t whole = 0;
    while (whole < sent) {
      const FramedRecord record = first_framed_record(bytes.substr(whole));
      if (whole + record.size > sent) break;
      whole += record.size;
    }
    sent_of_first_ = sent - whole;
    return {whole, State::kOk};
  }

  Outcome write_datagrams(std::string_view bytes) {
    std::array<iovec, kMessagesPerCall> texts{};
    std::array<mmsghdr, kMessagesPerCall> messages{};
    std::array<std::size_t, kMessagesPerCall> sizes{};
    unsigned count = 0;
    for (std::size_t at = 0; at < bytes.size() && count < kMessagesPerCall; ++count) {
      const FramedRecord record = first_framed_record(bytes.substr(at));
      // sendmmsg(2) only reads.
      texts[count] = {const_cast<char*>(record.text.data()), length_of(record.text)};
      messages[count].msg_hdr.msg_iov = &texts[count];
      messages[count].msg_hdr.msg_iovlen = 1;
      sizes[count] = record.size;
      at += record.size;
    }
    const int n = ::sendmmsg(socket_.get(), messages.data(), count, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0) {
      if (errno == EMSGSIZE) return send_long(first_framed_record(bytes));
      return failed();
    }
    std::size_t taken = 0;
    for (int i = 0; i < n; ++i) taken += sizes[static_cast<std::size_t>(i)];
    return {taken, State::kOk};
  }

  std::size_t length_of(std::string_view text) const {
    return address_.kind == LogAddress::Kind::kJournal ? text.size()
                                                       : std::min(text.size(), kLongestDatagram);
  }

  Outcome send_long(const FramedRecord& record) {
    const bool sent =
        address_.kind == LogAddress::Kind::kJournal
            ? send_as_file(record.text)
            : ::send(socket_.get(), record.text.data(), std::min(record.text.size(), kSurelyShort),
                     MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
    if (!sent) return failed();
    return {record.size, State::kOk};
  }

  // systemd's native protocol: an empty datagram with a sealed memory file beside it.
  bool send_as_file(std::string_view text) {
    const UniqueFd file(::memfd_create("saola-journal", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (!file) return false;
    for (std::string_view rest = text; !rest.empty();) {
      const ssize_t n = ::write(file.get(), rest.data(), rest.size());
      if (n < 0) return false;
      rest.remove_prefix(static_cast<std::size_t>(n));
    }
    if (::fcntl(file.get(), F_ADD_SEALS,
                F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) != 0) {
      return false;
    }
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> space{};
    msghdr message{};
    message.msg_control = space.data();
    message.msg_controllen = space.size();
    cmsghdr* const head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(int));
    const int fd = file.get();
    std::memcpy(CMSG_DATA(head), &fd, sizeof fd);
    return ::sendmsg(socket_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
  }

  const LogAddress address_;
  const bool look_up_again_;
  std::vector<Destination> destinations_;
  UniqueFd socket_;
  bool stream_ = false;
  bool connecting_ = false;
  std::size_t sent_of_first_ = 0;  // bytes of the first record that a stream has taken
};

}  // namespace

bool parse_syslog_address(std::string_view text, LogAddress& address) {
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos) return false;
  const std::string_view scheme = text.substr(0, colon);
  std::string_view rest = text.substr(colon + 1);
  address = {};
  if (scheme == "unix") {
    address.host = rest;
    return !rest.empty() && rest.size() < sizeof(sockaddr_un::sun_path);
  }
  if (scheme != "udp" && scheme != "tcp") return false;
  address.kind = scheme == "udp" ? LogAddress::Kind::kUdp : LogAddress::Kind::kTcp;
  std::string_view port = "514";
  const std::size_t bracket = rest.rfind(']');
  const std::size_t last = rest.rfind(':');
  if (last != std::string_view::npos && (bracket == std::string_view::npos || last > bracket)) {
    port = rest.substr(last + 1);
    rest = rest.substr(0, last);
  }
  if (rest.starts_with('[') && rest.ends_with(']')) {
    rest = rest.substr(1, rest.size() - 2);
  } else if (rest.find(':') != std::string_view::npos) {
    return false;
  }
  const bool is_number =
      !port.empty() && port.size() <= 5 &&
      std::all_of(port.begin(), port.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (rest.empty() || !is_number) return false;
  const int number = std::stoi(std::string(port));
  address.host = rest;
  address.port = port;
  return number > 0 && number <= 65535;
}

std::unique_ptr<LogOutlet> make_socket_outlet(LogAddress address, bool look_up_again) {
  return std::make_unique<SocketOutlet>(std::move(address), look_up_again);
}

}  // namespace saola
