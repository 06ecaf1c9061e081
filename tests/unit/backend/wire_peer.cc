#include "wire_peer.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "common/core/check.h"

namespace saola::backend::test {
namespace {

UniqueFd must_create(std::size_t slots) {
  auto file = ipc::ClaimTable::create_file(slots);
  SAOLA_CHECK(file.has_value());
  return *std::move(file);
}

ipc::ClaimTable must_map(const UniqueFd& file) {
  auto table = ipc::ClaimTable::map(file);
  SAOLA_CHECK(table.has_value());
  return *std::move(table);
}

template <class T>
std::string as_bytes(T value) {
  std::string bytes(sizeof value, '\0');
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}

}  // namespace

WirePeer::WirePeer(std::size_t slots)
    : claims_file_(must_create(slots)), claims_(must_map(claims_file_)) {
  std::array<int, 2> ends{};
  SAOLA_CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) == 0);
  socket_.reset(ends[0]);
  worker_socket_.reset(ends[1]);
}

ipc::ClaimTable WirePeer::take_claims() { return must_map(claims_file_); }

void WirePeer::hello(std::uint16_t version, std::uint32_t response_window) {
  send(ipc::FrameType::kHello, 0, 0,
       as_bytes(ipc::kMagic) + as_bytes(version) + as_bytes(std::uint16_t{0}) +
           as_bytes(response_window) + as_bytes(ipc::kRequestWindow));
}

void WirePeer::send(ipc::FrameType type, std::uint8_t flags, std::uint32_t stream,
                    std::string_view payload, int fd) {
  const ipc::FrameHeader header{stream, static_cast<std::uint16_t>(payload.size()), type, flags};
  std::string frame = as_bytes(header);
  frame += payload;
  if (fd < 0) return send_raw(frame);
  iovec part{frame.data(), frame.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  auto* rights = CMSG_FIRSTHDR(&message);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(sizeof(int));
  std::memcpy(CMSG_DATA(rights), &fd, sizeof fd);
  EXPECT_EQ(::sendmsg(socket_.get(), &message, MSG_NOSIGNAL), static_cast<ssize_t>(frame.size()));
}

void WirePeer::send_raw(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) {
      ADD_FAILURE() << "the worker's socket takes nothing: " << std::strerror(errno);
      return;
    }
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
}

std::uint32_t WirePeer::request(std::size_t slot, std::string_view path, std::int64_t body_length,
                                int body_file) {
  const std::uint32_t stream = ipc::make_stream(++sequence_, slot);
  ipc::RequestMeta meta;
  meta.method = body_length == 0 ? ipc::Method::kGet : ipc::Method::kPost;
  meta.body_length = body_length;
  meta.authority = "example.com";
  meta.path = meta.raw_path = path;
  meta.client_host = "192.0.2.7";
  meta.server_host = "198.51.100.1";
  meta.server_port = 443;
  meta.request_id = "request-1";
  std::string payload;
  ipc::encode_request(payload, meta, {{ipc::field::kHost, "host", "example.com"}});
  claims_.offer(slot, stream);
  std::uint8_t flags = 0;
  if (body_length == 0) flags = ipc::kEnd;
  if (body_file >= 0) flags = ipc::kFd;
  send(ipc::FrameType::kRequest, flags, stream, payload, body_file);
  return stream;
}

void WirePeer::body(std::uint32_t stream, std::string_view bytes, bool end) {
  do {
    const auto piece = bytes.substr(0, ipc::kMaxPayload);
    bytes.remove_prefix(piece.size());
    std::uint8_t flags = 0;
    if (end && bytes.empty()) flags = ipc::kEnd;
    send(ipc::FrameType::kBody, flags, stream, piece);
  } while (!bytes.empty());
}

void WirePeer::abort(std::uint32_t stream) {
  send(ipc::FrameType::kAbort, 0, stream, as_bytes(ipc::AbortReason::kClientGone));
}

void WirePeer::window(std::uint32_t stream, std::uint32_t credit) {
  send(ipc::FrameType::kWindow, 0, stream, as_bytes(credit));
}

void WirePeer::ping(std::uint64_t number) { send(ipc::FrameType::kPing, 0, 0, as_bytes(number)); }

bool WirePeer::read(std::chrono::milliseconds patience) {
  pollfd wait{socket_.get(), POLLIN, 0};
  if (closed_ || ::poll(&wait, 1, static_cast<int>(patience.count())) != 1) return false;
  const auto space = decoder_.prepare();
  const ssize_t got = ::recv(socket_.get(), space.data(), space.size(), 0);
  if (got <= 0) {
    closed_ = true;
    return false;
  }
  decoder_.commit(static_cast<std::size_t>(got));
  while (const auto frame = decoder_.next()) {
    if (frame->type == ipc::FrameType::kHello) continue;
    seen_.push_back({frame->type, frame->flags, frame->stream, std::string(frame->payload)});
  }
  EXPECT_FALSE(decoder_.failed());
  return true;
}

SeenFrame WirePeer::next() {
  while (seen_.empty()) {
    if (!read(kPatience)) {
      ADD_FAILURE() << "the worker sends nothing";
      return {};
    }
  }
  auto frame = std::move(seen_.front());
  seen_.pop_front();
  return frame;
}

SeenFrame WirePeer::expect(ipc::FrameType type) {
  for (;;) {
    auto frame = next();
    if (frame.type == type || frame.type == ipc::FrameType{}) return frame;
  }
}

bool WirePeer::silent() {
  while (seen_.empty() && read(std::chrono::milliseconds(0))) {
  }
  return seen_.empty();
}

bool WirePeer::closed() {
  while (read(kPatience)) {
  }
  return closed_;
}

}  // namespace saola::backend::test
