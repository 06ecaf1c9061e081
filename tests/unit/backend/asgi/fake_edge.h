// FakeEdge: the other end of a worker's wire connection, played by a test. Blocking, for a thread
// of the test's own; every wait ends with a test failure after kPatience.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "backend/request_channel.h"
#include "common/ipc/frame_decoder.h"
#include "common/ipc/frame_queue.h"
#include "common/ipc/messages.h"

namespace saola::backend::asgi {

struct FakeRequest {
  ipc::Method method = ipc::Method::kGet;
  std::string method_text{};  // with Method::kOther
  std::string path = "/";
  std::string raw_path{};  // empty: as path
  std::string query{};
  std::string root_path{};
  std::int64_t body_length = 0;
  std::vector<std::pair<std::string, std::string>> headers{{"host", "example.com"}};
  std::string request_id = "request-1";
  std::string client_host = "192.0.2.7";
  std::uint16_t client_port = 51000;
  std::string server_host = "198.51.100.1";
  std::uint16_t server_port = 443;
  ipc::HttpVersion version = ipc::HttpVersion::k11;
  ipc::Scheme scheme = ipc::Scheme::kHttps;
};

struct FakeResponse {
  int heads = 0;  // of final responses; a correct worker sends one
  int status = 0;
  std::int64_t content_length = -1;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  std::size_t body_frames = 0;
  bool ended = false;
  bool aborted = false;
  ipc::AbortReason abort_reason{};
};

class FakeEdge {
 public:
  static constexpr std::chrono::seconds kPatience{20};

  // `window`: bytes of each answer's body that the worker may send at first.
  explicit FakeEdge(std::uint32_t window = ipc::kResponseWindow);

  // The worker's ends, once.
  UniqueFd take_socket() { return std::move(worker_socket_); }
  ipc::ClaimTable take_claims();

  // --- to the worker ---
  std::uint32_t request(const FakeRequest& request);  // returns the stream id
  // The same with its body in a file; an invalid one got lost on the way.
  std::uint32_t request_with_file(const FakeRequest& request, UniqueFd file);
  void body(std::uint32_t stream, std::string_view bytes, bool end);
  void abort(std::uint32_t stream, ipc::AbortReason reason = ipc::AbortReason::kClientGone);
  void window(std::uint32_t stream, std::uint32_t bytes);
  void hang_up() { socket_.reset(); }

  // --- from the worker ---
  // Waits until the answer has ended or was broken off.
  FakeResponse answer(std::uint32_t stream);
  // What has come so far, after waiting until it has `bytes` of body (and a head).
  FakeResponse partial(std::uint32_t stream, std::size_t bytes);
  // Reads what comes within a short while; for "nothing more comes".
  FakeResponse settled(std::uint32_t stream);
  // Request and answer.
  FakeResponse exchange(const FakeRequest& request, std::string_view body = {});
  void forget() { answers_.clear(); }  // of answers that were looked at
  // Credit that the worker gave back for a stream's request body.
  std::uint64_t credit(std::uint32_t stream) const;
  void wait_for_credit(std::uint32_t stream, std::uint64_t bytes);
  bool is_claimed(std::uint32_t stream) const;
  bool saw_drain() const { return saw_drain_; }
  // How many reads brought something.
  std::size_t reads() const { return reads_; }

 private:
  static constexpr std::size_t kSlots = 4096;
  std::uint32_t next_stream();
  std::string encoded(const FakeRequest& request) const;
  void write();
  bool read(std::chrono::milliseconds patience);  // false: nothing came
  void file(const ipc::Frame& frame);
  template <class Done>
  void read_until(Done done);

  UniqueFd socket_, worker_socket_, claims_file_;
  ipc::ClaimTable claims_;
  std::uint32_t window_;
  std::uint32_t next_ = 0;
  ipc::FrameQueue out_;
  ipc::FrameDecoder decoder_;
  std::map<std::uint32_t, FakeResponse> answers_;
  std::map<std::uint32_t, std::uint64_t> credits_;
  bool saw_drain_ = false;
  bool given_up_ = false;
  std::size_t reads_ = 0;
};

}  // namespace saola::backend::asgi
