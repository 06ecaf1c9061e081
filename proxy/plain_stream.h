// A plain socket as a Stream.
#pragma once

#include "proxy/output_buffer.h"
#include "proxy/stream.h"

namespace saola::proxy {

class PlainStream final : public Stream {
 public:
  // `prefix` are bytes already read from the socket (after a PROXY header); they are read first.
  explicit PlainStream(UniqueFd socket, std::string_view prefix = {})
      : socket_(std::move(socket)), prefix_(prefix) {}

  void on_readable() override { drained_ = false; }
  StreamStatus handshake() override { return StreamStatus::kOk; }
  ReadResult read(std::span<char> space) override;
  void write(std::string_view bytes) override;
  StreamStatus flush() override;
  std::size_t pending_output() const override { return output_.size(); }
  void end_output() override { ending_ = true; }
  bool wants_write() const override { return false; }
  bool has_buffered_input() const override { return !prefix_.empty(); }
  void release_buffers() override { output_.release(); }
  int fd() const override { return socket_.get(); }
  std::string error() const override;

 private:
  UniqueFd socket_;
  std::string prefix_;
  OutputBuffer output_;
  int error_ = 0;
  bool drained_ = false;
  bool read_ended_ = false;
  bool ending_ = false;
  bool ended_ = false;
};

}  // namespace saola::proxy
