#include "proxy/plain_stream.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace saola::proxy {

ReadResult PlainStream::read(std::span<char> space) {
  if (error_ != 0) return {StreamStatus::kError};
  if (!prefix_.empty()) {
    const std::size_t n = std::min(prefix_.size(), space.size());
    std::copy_n(prefix_.data(), n, space.data());
    prefix_.erase(0, n);
    if (prefix_.empty()) prefix_ = std::string();
    return {StreamStatus::kOk, n};
  }
  if (read_ended_) return {StreamStatus::kEof};
  if (drained_) return {StreamStatus::kWouldBlock};
  for (;;) {
    const ssize_t n = ::recv(socket_.get(), space.data(), space.size(), 0);
    if (n > 0) {
      const auto bytes = static_cast<std::size_t>(n);
      drained_ = bytes < space.size();
      return {StreamStatus::kOk, bytes};
    }
    if (n == 0) {
      read_ended_ = true;
      return {StreamStatus::kEof};
    }
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
      drained_ = true;
      return {StreamStatus::kWouldBlock};
    }
    error_ = errno;
    return {StreamStatus::kError};
  }
}

void PlainStream::write(std::string_view bytes) {
  if (error_ == 0 && !ending_) output_.append(bytes);
}

StreamStatus PlainStream::flush() {
  if (error_ != 0) return StreamStatus::kError;
  const StreamStatus status = output_.send_to(socket_.get(), error_);
  if (status == StreamStatus::kOk && ending_ && !ended_) {
    ended_ = true;
    ::shutdown(socket_.get(), SHUT_WR);  // fails only if the peer is gone, which read() will tell
  }
  return status;
}

std::string PlainStream::error() const { return error_ == 0 ? "" : std::strerror(error_); }

}  // namespace saola::proxy
