// OutputBuffer: bytes on their way into a non-blocking socket, in order. Owns the bytes, not the
// socket.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "proxy/stream.h"

namespace saola::proxy {

class OutputBuffer {
 public:
  void append(std::string_view bytes);
  std::size_t size() const { return bytes_.size() - sent_; }
  bool empty() const { return size() == 0; }

  // Sends as far as `fd` takes it: kOk when nothing is left, kWouldBlock when the socket is full,
  // kError with errno in `error_number`. Raises no SIGPIPE.
  StreamStatus send_to(int fd, int& error_number);

  // Gives the memory back if nothing waits.
  void release();

 private:
  std::string bytes_;
  std::size_t sent_ = 0;
};

}  // namespace saola::proxy
