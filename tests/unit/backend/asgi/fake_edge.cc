#include "fake_edge.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <cstring>

namespace saola::backend::asgi {
namespace {

ipc::ClaimTable must_map(const UniqueFd& file) {
  auto table = ipc::ClaimTable::map(file);
  SAOLA_CHECK(table.has_value());
  return *std::move(table);
}

UniqueFd must_create(std::size_t slots) {
  auto file = ipc::ClaimTable::create_file(slots);
  SAOLA_CHECK(file.has_value());
  return *std::move(file);
}

template <class T>
std::string as_bytes(T value) {
  std::string bytes(sizeof value, '\0');
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}

}  // namespace

FakeEdge::FakeEdge(std::uint32_t window)
    : claims_file_(must_create(kSlots)), claims_(must_map(claims_file_)), window_(window) {
  int ends[2];
  SAOLA_CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  socket_.reset(ends[0]);
  worker_socket_.reset(ends[1]);
  const int big = 1 << 20;
  ::setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &big, sizeof big);
  out_.add(ipc::FrameType::kHello, 0, 0,
           as_bytes(ipc::kMagic) + as_bytes(ipc::kWireVersion) + as_bytes(std::uint16_t{0}) +
               as_bytes(window_) + as_bytes(ipc::kRequestWindow));
  write();
}

ipc::ClaimTable FakeEdge::take_claims() { return must_map(claims_file_); }

void FakeEdge::write() {
  while (!out_.empty()) {
    iovec space[16];
    const auto batch = out_.gather(space);
    msghdr message{};
    message.msg_iov = space;
    message.msg_iovlen = batch.count;
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    if (batch.fd >= 0) {
      message.msg_control = control;
      message.msg_controllen = sizeof control;
      cmsghdr* rights = CMSG_FIRSTHDR(&message);
      rights->cmsg_level = SOL_SOCKET;
      rights->cmsg_type = SCM_RIGHTS;
      rights->cmsg_len = CMSG_LEN(sizeof(int));
      std::memcpy(CMSG_DATA(rights), &batch.fd, sizeof batch.fd);
    }
    const ssize_t sent = ::sendmsg(socket_.get(), &message, MSG_NOSIGNAL);
    if (sent <= 0) {
      ADD_FAILURE() << "the worker's socket takes nothing: " << std::strerror(errno);
      return;
    }
    out_.consume(static_cast<std::size_t>(sent));
  }
}

std::uint32_t FakeEdge::next_stream() {
  const auto sequence = static_cast<std::uint32_t>(next_ / kSlots + 1);
  const std::uint32_t stream = ipc::make_stream(sequence, next_ % kSlots);
  ++next_;
  claims_.offer(ipc::slot_of(stream), stream);
  return stream;
}

std::string FakeEdge::encoded(const FakeRequest& request) const {
  ipc::RequestMeta meta;
  meta.method = request.method;
  meta.method_text = request.method_text;
  meta.version = request.version;
  meta.scheme = request.scheme;
  meta.client_port = request.client_port;
  meta.server_port = request.server_port;
  meta.body_length = request.body_length;
  meta.authority = "example.com";
  meta.path = request.path;
  meta.raw_path = request.raw_path.empty() ? request.path : request.raw_path;
  meta.query = request.query;
  meta.client_host = request.client_host;
  meta.server_host = request.server_host;
  meta.request_id = request.request_id;
  meta.root_path = request.root_path;
  std::vector<ipc::Field> fields;
  for (const auto& [name, value] : request.headers) {
    fields.push_back({ipc::header_name_id(name), name, value});
  }
  std::string payload;
  ipc::encode_request(payload, meta, fields);
  return payload;
}

std::uint32_t FakeEdge::request(const FakeRequest& request) {
  const std::uint32_t stream = next_stream();
  out_.add(ipc::FrameType::kRequest, request.body_length == 0 ? ipc::kEnd : 0, stream,
           encoded(request));
  write();
  return stream;
}

std::uint32_t FakeEdge::request_with_file(const FakeRequest& request, UniqueFd file) {
  const std::uint32_t stream = next_stream();
  if (file.valid()) {
    out_.add_with_fd(ipc::FrameType::kRequest, 0, stream, encoded(request), std::move(file));
  } else {
    out_.add(ipc::FrameType::kRequest, ipc::kFd, stream, encoded(request));
  }
  write();
  return stream;
}

void FakeEdge::body(std::uint32_t stream, std::string_view bytes, bool end) {
  out_.add_body(stream, bytes, end, true);
  write();
}

void FakeEdge::abort(std::uint32_t stream, ipc::AbortReason reason) {
  out_.add(ipc::FrameType::kAbort, 0, stream, as_bytes(reason));
  write();
}

void FakeEdge::window(std::uint32_t stream, std::uint32_t bytes) {
  out_.add(ipc::FrameType::kWindow, 0, stream, as_bytes(bytes));
  write();
}

bool FakeEdge::read(std::chrono::milliseconds patience) {
  pollfd wait{socket_.get(), POLLIN, 0};
  if (::poll(&wait, 1, static_cast<int>(patience.count())) != 1) return false;
  const auto space = decoder_.prepare();
  const ssize_t count = ::recv(socket_.get(), space.data(), space.size(), 0);
  if (count <= 0) return false;
  ++reads_;
  decoder_.commit(static_cast<std::size_t>(count));
  while (const auto frame = decoder_.next()) file(*frame);
  EXPECT_FALSE(decoder_.failed());
  return true;
}

void FakeEdge::file(const ipc::Frame& frame) {
  switch (frame.type) {
    case ipc::FrameType::kResponseHead: {
      ipc::ResponseHeadView head;
      ASSERT_TRUE(ipc::decode_response_head(frame.payload, head));
      FakeResponse& answer = answers_[frame.stream];
      ++answer.heads;
      answer.status = head.status;
      answer.content_length = head.content_length;
      for (const auto& field : head.fields) {
        answer.headers.emplace_back(std::string(field.name), std::string(field.value));
      }
      answer.ended = (frame.flags & ipc::kEnd) != 0;
      break;
    }
    case ipc::FrameType::kBody: {
      FakeResponse& answer = answers_[frame.stream];
      EXPECT_FALSE(answer.ended || answer.aborted) << "body after the end";
      answer.body += frame.payload;
      ++answer.body_frames;
      answer.ended = (frame.flags & ipc::kEnd) != 0;
      break;
    }
    case ipc::FrameType::kAbort: {
      FakeResponse& answer = answers_[frame.stream];
      EXPECT_FALSE(answer.ended) << "abort after the end";
      answer.aborted = true;
      answer.abort_reason = static_cast<ipc::AbortReason>(frame.payload.at(0));
      break;
    }
    case ipc::FrameType::kWindow: {
      std::uint32_t bytes = 0;
      std::memcpy(&bytes, frame.payload.data(), sizeof bytes);
      credits_[frame.stream] += bytes;
      break;
    }
    case ipc::FrameType::kDrain:
      saw_drain_ = true;
      break;
    case ipc::FrameType::kHello:
    case ipc::FrameType::kPing:
    case ipc::FrameType::kPong:
    case ipc::FrameType::kTrailers:
    case ipc::FrameType::kRequest:
      break;
  }
}

template <class Done>
void FakeEdge::read_until(Done done) {
  while (!given_up_ && !done()) {
    if (read(kPatience)) continue;
    ADD_FAILURE() << "the worker sends nothing";
    given_up_ = true;  // one wait is enough for a test that has failed
  }
}

FakeResponse FakeEdge::answer(std::uint32_t stream) {
  read_until([&] { return answers_[stream].ended || answers_[stream].aborted; });
  return answers_[stream];
}

FakeResponse FakeEdge::partial(std::uint32_t stream, std::size_t bytes) {
  read_until([&] {
    const FakeResponse& answer = answers_[stream];
    return answer.aborted || (answer.heads > 0 && answer.body.size() >= bytes);
  });
  return answers_[stream];
}

FakeResponse FakeEdge::settled(std::uint32_t stream) {
  while (read(std::chrono::milliseconds(50))) {
  }
  return answers_[stream];
}

FakeResponse FakeEdge::exchange(const FakeRequest& request, std::string_view body) {
  FakeRequest whole = request;
  if (!body.empty()) whole.body_length = static_cast<std::int64_t>(body.size());
  const std::uint32_t stream = this->request(whole);
  if (!body.empty()) this->body(stream, body, true);
  return answer(stream);
}

std::uint64_t FakeEdge::credit(std::uint32_t stream) const {
  const auto found = credits_.find(stream);
  return found == credits_.end() ? 0 : found->second;
}

void FakeEdge::wait_for_credit(std::uint32_t stream, std::uint64_t bytes) {
  read_until([&] { return credit(stream) >= bytes; });
}

bool FakeEdge::is_claimed(std::uint32_t stream) const {
  return !claims_.is_offered(ipc::slot_of(stream), stream);
}

}  // namespace saola::backend::asgi
