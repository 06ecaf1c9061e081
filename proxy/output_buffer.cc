#include "proxy/output_buffer.h"

#include <sys/socket.h>

#include <cerrno>

namespace saola::proxy {
namespace {

// Bytes already sent stay in front until they are worth a move of the rest.
constexpr std::size_t kCompactAt = std::size_t{64} << 10;
// Memory kept for the next response; what a large one left behind is given back.
constexpr std::size_t kKeepCapacity = std::size_t{256} << 10;

}  // namespace

void OutputBuffer::append(std::string_view bytes) {
  if (sent_ >= kCompactAt && sent_ >= bytes_.size() / 2) {
    bytes_.erase(0, sent_);
    sent_ = 0;
  }
  bytes_.append(bytes);
}

StreamStatus OutputBuffer::send_to(int fd, int& error_number) {
  while (sent_ < bytes_.size()) {
    const std::size_t left = bytes_.size() - sent_;
    const ssize_t n = ::send(fd, bytes_.data() + sent_, left, MSG_NOSIGNAL);
    if (n < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN || errno == EWOULDBLOCK) return StreamStatus::kWouldBlock;
      error_number = errno;
      return StreamStatus::kError;
    }
    sent_ += static_cast<std::size_t>(n);
    // A short count means a full socket: asking again would only cost a system call.
    if (static_cast<std::size_t>(n) < left) return StreamStatus::kWouldBlock;
  }
  sent_ = 0;
  bytes_.clear();
  if (bytes_.capacity() > kKeepCapacity) release();
  return StreamStatus::kOk;
}

void OutputBuffer::release() {
  if (!empty()) return;
  bytes_ = std::string();
  sent_ = 0;
}

}  // namespace saola::proxy
