// WirePeer: the edge's end of a worker's wire connection, frame by frame. For tests that look at
// the wire itself; every wait ends with a test failure after kPatience.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

#include "common/core/unique_fd.h"
#include "common/ipc/claim_table.h"
#include "common/ipc/frame.h"
#include "common/ipc/frame_decoder.h"
#include "common/ipc/messages.h"

namespace saola::backend::test {

struct SeenFrame {
  ipc::FrameType type{};
  std::uint8_t flags = 0;
  std::uint32_t stream = 0;
  std::string payload;
};

class WirePeer {
 public:
  static constexpr std::chrono::seconds kPatience{20};

  explicit WirePeer(std::size_t slots = 16);

  // The worker's ends, once.
  UniqueFd take_socket() { return std::move(worker_socket_); }
  ipc::ClaimTable take_claims();
  UniqueFd take_claims_file() { return std::move(claims_file_); }
  ipc::ClaimTable& claims() { return claims_; }

  void hello(std::uint16_t version = ipc::kWireVersion,
             std::uint32_t response_window = ipc::kResponseWindow);
  void send(ipc::FrameType type, std::uint8_t flags, std::uint32_t stream,
            std::string_view payload = {}, int fd = -1);
  // Offers and sends a GET, or a POST whose body follows if `body_length` is not 0.
  std::uint32_t request(std::size_t slot, std::string_view path = "/", std::int64_t body_length = 0,
                        int body_file = -1);
  void body(std::uint32_t stream, std::string_view bytes, bool end);
  void abort(std::uint32_t stream);
  void window(std::uint32_t stream, std::uint32_t credit);
  void ping(std::uint64_t number);
  void send_raw(std::string_view bytes);
  void hang_up() { socket_.reset(); }

  // The next frame of this type, others before it are thrown away.
  SeenFrame expect(ipc::FrameType type);
  // The next frame of any type, HELLO aside.
  SeenFrame next();
  // True if nothing (more) has come.
  bool silent();
  bool closed();  // the worker hung up
  int fd() const { return socket_.get(); }

 private:
  bool read(std::chrono::milliseconds patience);

  UniqueFd socket_, worker_socket_, claims_file_;
  ipc::ClaimTable claims_;
  ipc::FrameDecoder decoder_;
  std::deque<SeenFrame> seen_;
  std::uint32_t sequence_ = 0;
  bool closed_ = false;
};

}  // namespace saola::backend::test
