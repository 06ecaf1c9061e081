#include "proxy/tls_stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/err.h>
#include <sys/socket.h>

#include <array>

#include "certificate_maker.h"
#include "tls_client.h"

namespace saola::proxy::testing {
namespace {

using ::testing::HasSubstr;

std::unique_ptr<TlsContext> make_context(const config::Tls& tls = {}) {
  static const MadeCertificate made = make_certificate({.names = {"DNS:a.example"}});
  auto context = TlsContext::create(tls, {"http/1.1"}, {key_pair(made)});
  SAOLA_CHECK(context.has_value());
  return std::move(*context);
}

// Bytes that differ everywhere, so that a lost or doubled portion shows.
std::string pattern(std::size_t size) {
  std::string bytes(size, '\0');
  std::uint32_t x = 12345;
  for (char& byte : bytes) {
    x = x * 1664525 + 1013904223;
    byte = static_cast<char>(x >> 24);
  }
  return bytes;
}

int count_records(const std::string& raw) {
  int records = 0;
  for (std::size_t at = 0; at + 5 <= raw.size(); ++records) {
    at += 5U + (static_cast<unsigned char>(raw[at + 3]) << 8U) +
          static_cast<unsigned char>(raw[at + 4]);
  }
  return records;
}

class TlsStreamVersions : public ::testing::TestWithParam<int> {};

TEST_P(TlsStreamVersions, HandshakesHoweverTheBytesArrive) {
  const auto context = make_context();
  for (const std::size_t piece : {1, 2, 7, 4096}) {
    ClientOptions options{.server_name = "a.example", .alpn = "\x08http/1.1"};
    options.max_version = GetParam();
    options.piece = piece;
    TlsPair pair(*context, options);
    pair.connect();
    pair.client->write("GET / HTTP/1.1\r\n\r\n");
    EXPECT_EQ(pair.server_read(), "GET / HTTP/1.1\r\n\r\n");
    pair.server->write("HTTP/1.1 200 OK\r\n\r\n");
    EXPECT_EQ(pair.client_read(), "HTTP/1.1 200 OK\r\n\r\n");
    EXPECT_TRUE(pair.server->is_tls());
    EXPECT_EQ(pair.server->tls_version(), GetParam() == TLS1_3_VERSION ? "TLSv1.3" : "TLSv1.2");
    EXPECT_EQ(pair.server->alpn(), "http/1.1");
    EXPECT_EQ(pair.server->server_name(), "a.example");
    EXPECT_THAT(std::string(pair.server->tls_cipher()), HasSubstr("AES"));
  }
}

TEST_P(TlsStreamVersions, BigBodiesPassBothWaysIntact) {
  const auto context = make_context();
  ClientOptions options;
  options.max_version = GetParam();
  TlsPair pair(*context, options);
  pair.connect();
  const std::string body = pattern(3 << 20);
  pair.client->write(body);
  EXPECT_TRUE(pair.server_read() == body);
  pair.server->write(body);
  EXPECT_TRUE(pair.client_read() == body);
  EXPECT_EQ(pair.server->pending_output(), 0U);
}

TEST_P(TlsStreamVersions, CloseNotifyEndsBothDirections) {
  const auto context = make_context();
  ClientOptions options;
  options.max_version = GetParam();
  TlsPair pair(*context, options);
  pair.connect();
  pair.client->write("last words");
  pair.client->send_close_notify();
  EXPECT_EQ(pair.server_read(), "last words");
  std::array<char, 16> space;
  EXPECT_EQ(pair.server->read(space).status, StreamStatus::kEof);
  EXPECT_EQ(pair.server->error(), "");

  pair.server->write("goodbye");
  pair.server->end_output();
  EXPECT_EQ(pair.client_read(), "goodbye");
  EXPECT_TRUE(pair.client->saw_close_notify());
  char byte = 0;
  EXPECT_EQ(::recv(pair.client->fd(), &byte, 1, 0), 0) << "a FIN follows close_notify";
}

TEST_P(TlsStreamVersions, RefusesRenegotiationAndKeyUpdateIsFine) {
  const auto context = make_context();
  ClientOptions options;
  options.max_version = GetParam();
  TlsPair pair(*context, options);
  pair.connect();
  if (GetParam() == TLS1_3_VERSION) {
    ASSERT_EQ(SSL_key_update(pair.client->ssl(), SSL_KEY_UPDATE_REQUESTED), 1);
    pair.client->write("after the update");
    EXPECT_EQ(pair.server_read(), "after the update");
    pair.server->write("seen");
    EXPECT_EQ(pair.client_read(), "seen");
  } else {
    SSL_renegotiate(pair.client->ssl());
    SSL_do_handshake(pair.client->ssl());
    EXPECT_EQ(pair.server_read(), "");
    EXPECT_EQ(pair.client_read(), "");
    EXPECT_EQ(SSL_get_state(pair.client->ssl()), TLS_ST_CW_CLNT_HELLO) << "no answer but an alert";
  }
}

INSTANTIATE_TEST_SUITE_P(Tls, TlsStreamVersions, ::testing::Values(TLS1_2_VERSION, TLS1_3_VERSION));

TEST(TlsStream, TakesBytesThatWereReadBeforeIt) {
  const auto context = make_context();
  SocketPair sockets = make_socket_pair();
  TlsClient client(std::move(sockets.theirs), {});
  SSL_do_handshake(client.ssl());
  client.push_all();
  const std::string hello = read_socket(sockets.ours.get());
  ::send(client.fd(), hello.data() + 100, hello.size() - 100, 0);
  const auto server = make_tls_stream(std::move(sockets.ours), *context, hello.substr(0, 100));
  server->on_readable();
  EXPECT_EQ(client.handshake(*server), StreamStatus::kOk) << server->error();
}

TEST(TlsStream, GivesTheRequestThatCameWithTheLastFlight) {
  const auto context = make_context();
  TlsPair pair(*context);
  SSL* client = pair.client->ssl();
  SSL_do_handshake(client);
  pair.client->push_all();
  EXPECT_EQ(pair.server->handshake(), StreamStatus::kWouldBlock);
  pair.client->pull();
  ASSERT_EQ(SSL_do_handshake(client), 1);
  pair.client->write("GET / HTTP/1.1\r\n\r\n");
  pair.client->push_all();
  pair.server->on_readable();
  ASSERT_EQ(pair.server->handshake(), StreamStatus::kOk);
  EXPECT_TRUE(pair.server->has_buffered_input()) << "no readiness event will tell";
  std::array<char, 100> space;
  EXPECT_EQ(pair.server->read(space).bytes, 18U);
  EXPECT_FALSE(pair.server->has_buffered_input());
  EXPECT_EQ(pair.server->read(space).status, StreamStatus::kWouldBlock);
  // The session tickets leave with the answer.
  pair.server->write("answer");
  EXPECT_EQ(pair.client_read(), "answer");
  EXPECT_NE(pair.client->take_session(), nullptr);
}

TEST(TlsStream, TellsWhatIsBufferedInside) {
  const auto context = make_context();
  TlsPair pair(*context);
  pair.connect();
  pair.client->write("0123456789");
  pair.client->write("abcdefghij");
  pair.client->push_all();
  pair.server->on_readable();
  std::array<char, 4> small;
  ASSERT_EQ(pair.server->read(small).bytes, 4U);
  EXPECT_TRUE(pair.server->has_buffered_input()) << "the rest of a record";
  std::array<char, 6> rest;
  ASSERT_EQ(pair.server->read(rest).bytes, 6U);
  EXPECT_TRUE(pair.server->has_buffered_input()) << "a second record";
  std::array<char, 100> space;
  EXPECT_EQ(pair.server->read(space).bytes, 10U);
  EXPECT_FALSE(pair.server->has_buffered_input());
}

TEST(TlsStream, APartOfARecordIsNotBufferedInput) {
  const auto context = make_context();
  ClientOptions options;
  options.piece = 9;
  TlsPair pair(*context, options);
  pair.connect();
  pair.client->write("0123456789");
  ASSERT_TRUE(pair.client->push());
  pair.server->on_readable();
  std::array<char, 100> space;
  EXPECT_EQ(pair.server->read(space).status, StreamStatus::kWouldBlock);
  EXPECT_FALSE(pair.server->has_buffered_input());
  pair.server->release_buffers();
  EXPECT_EQ(pair.server_read(), "0123456789");
}

TEST(TlsStream, CollectsTheWritesOfATurnInOneRecord) {
  const auto context = make_context();
  TlsPair pair(*context);
  pair.connect();
  for (int i = 0; i < 10; ++i) pair.server->write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  EXPECT_EQ(pair.server->flush(), StreamStatus::kOk);
  pair.client->pull();
  EXPECT_EQ(count_records(pair.client->raw_input()), 1);
}

TEST(TlsStream, BigWritesFillTheirRecords) {
  const auto context = make_context();
  TlsPair pair(*context);
  pair.connect();
  pair.server->write(pattern(100));
  pair.server->write(pattern(5 * 16384));
  pair.client_read();
  EXPECT_EQ(count_records(pair.client->raw_input()), 6);
}

TEST(TlsStream, ASlowReaderGetsEverythingInOrder) {
  const auto context = make_context();
  TlsPair pair(*context);
  pair.connect();
  const std::string body = pattern(2 << 20);
  pair.server->write(body);
  EXPECT_EQ(pair.server->flush(), StreamStatus::kWouldBlock);
  EXPECT_GT(pair.server->pending_output(), 0U);
  EXPECT_LE(pair.server->pending_output(), body.size() + body.size() / 100);
  std::string got;
  while (got.size() < body.size()) {
    ASSERT_GT(pair.client->pull(5000), 0U);
    got += pair.client->read();
    ASSERT_NE(pair.server->flush(), StreamStatus::kError);
  }
  EXPECT_TRUE(got == body);
  EXPECT_EQ(pair.server->flush(), StreamStatus::kOk);
}

TEST(TlsStream, EndOfOutputWaitsForASlowReader) {
  const auto context = make_context();
  TlsPair pair(*context);
  pair.connect();
  pair.server->write(pattern(1 << 20));
  pair.server->end_output();
  EXPECT_EQ(pair.server->flush(), StreamStatus::kWouldBlock);
  EXPECT_EQ(pair.client_read().size(), 1U << 20);
  EXPECT_TRUE(pair.client->saw_close_notify());
}

TEST(TlsStream, ReadsOnAfterItsOwnEnd) {
  const auto context = make_context();
  TlsPair pair(*context);
  pair.connect();
  pair.server->end_output();
  EXPECT_EQ(pair.server->flush(), StreamStatus::kOk);
  pair.client->write("the rest of an upload that was refused");
  EXPECT_EQ(pair.server_read(), "the rest of an upload that was refused");
}

TEST(TlsStream, ReportsAFinWithoutCloseNotifyAfterTheData) {
  const auto context = make_context();
  TlsPair pair(*context);
  pair.connect();
  pair.client->write("half a request");
  pair.client->push_all();
  pair.client->shut_socket();
  EXPECT_EQ(pair.server_read(), "half a request");
  std::array<char, 16> space;
  EXPECT_EQ(pair.server->read(space).status, StreamStatus::kEof);
  EXPECT_THAT(pair.server->error(), HasSubstr("without close_notify"));
  // There are clients that only half-close and wait for the answer.
  pair.server->write("answer");
  EXPECT_EQ(pair.client_read(), "answer");
}

TEST(TlsStream, AFinInTheMiddleOfARecordIsTheEnd) {
  const auto context = make_context();
  ClientOptions options;
  options.piece = 9;
  TlsPair pair(*context, options);
  pair.connect();
  pair.client->write("0123456789");
  ASSERT_TRUE(pair.client->push());
  pair.client->shut_socket();
  std::array<char, 16> space;
  pair.server->on_readable();
  EXPECT_EQ(pair.server->read(space).status, StreamStatus::kWouldBlock);
  pair.server->on_readable();
  EXPECT_EQ(pair.server->read(space).status, StreamStatus::kEof);
  EXPECT_THAT(pair.server->error(), HasSubstr("without close_notify"));
}

TEST(TlsStream, AResetIsAnErrorThatSaysSo) {
  const auto context = make_context();
  TlsPair pair(*context);
  pair.connect();
  pair.server->write("unread");
  ASSERT_EQ(pair.server->flush(), StreamStatus::kOk);
  pair.client->close_socket();
  pair.server->on_readable();
  std::array<char, 16> space;
  EXPECT_EQ(pair.server->read(space).status, StreamStatus::kError);
  EXPECT_THAT(pair.server->error(), HasSubstr("reset by peer"));
  pair.server->write("more");
  EXPECT_EQ(pair.server->flush(), StreamStatus::kError) << "and no SIGPIPE";
}

TEST(TlsStream, AClientThatLeavesDuringTheHandshakeIsTheEnd) {
  const auto context = make_context();
  TlsPair pair(*context);
  SSL_do_handshake(pair.client->ssl());
  pair.client->push_all();
  pair.client->shut_socket();
  pair.server->on_readable();
  StreamStatus status = pair.server->handshake();
  if (status == StreamStatus::kWouldBlock) {
    pair.server->on_readable();
    status = pair.server->handshake();
  }
  EXPECT_EQ(status, StreamStatus::kEof);
  EXPECT_THAT(pair.server->error(), HasSubstr("during the TLS handshake"));
}

TEST(TlsStream, RefusesGarbage) {
  const auto context = make_context();
  struct Row {
    std::string bytes;
    std::size_t answer;  // an alert has 7; what does not even look like TLS gets none
  };
  const Row table[] = {
      {std::string(64, 'x'), 0},
      {"SSH-2.0-OpenSSH_9.2\r\n", 0},
      {std::string("\x80\x2e\x01\x00\x02", 5) + pattern(60), 7},  // an SSL 2.0 hello
      {std::string("\x16\x03\x01\x00\x05hello", 10), 7},
      {std::string("\x16\x03\x01\xff\xff", 5) + pattern(300), 7},
      {std::string("\x17\x03\x03\x00\x05hello", 10), 7},
  };
  for (const Row& row : table) {
    SocketPair sockets = make_socket_pair();
    const auto server = make_tls_stream(std::move(sockets.ours), *context);
    ::send(sockets.theirs.get(), row.bytes.data(), row.bytes.size(), 0);
    server->on_readable();
    EXPECT_EQ(server->handshake(), StreamStatus::kError);
    EXPECT_THAT(server->error(), HasSubstr("TLS handshake: "));
    EXPECT_EQ(server->handshake(), StreamStatus::kError) << "and stays broken";
    const std::string answer = read_socket(sockets.theirs.get());
    EXPECT_EQ(answer.size(), row.answer) << server->error();
    if (!answer.empty()) {
      EXPECT_EQ(answer[0], SSL3_RT_ALERT);
    }
    EXPECT_EQ(ERR_peek_error(), 0U);
  }
}

TEST(TlsStream, TellsPlainHttpClientsToUseTls) {
  const auto context = make_context();
  for (const std::string_view request : {"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n",
                                         "POST /form HTTP/1.1\r\nHost: a.example\r\n\r\n"}) {
    SocketPair sockets = make_socket_pair();
    const auto server = make_tls_stream(std::move(sockets.ours), *context);
    ::send(sockets.theirs.get(), request.data(), request.size(), 0);
    server->on_readable();
    EXPECT_EQ(server->handshake(), StreamStatus::kError);
    EXPECT_THAT(server->error(), HasSubstr("plain HTTP"));
    const std::string answer = read_socket(sockets.theirs.get());
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 400 Bad Request\r\n")) << answer;
    const std::size_t body = answer.find("\r\n\r\n") + 4;
    EXPECT_THAT(answer,
                HasSubstr("Content-Length: " + std::to_string(answer.size() - body) + "\r\n"));
  }
}

TEST(TlsStream, ADamagedRecordIsAnErrorWithAnAlert) {
  const auto context = make_context();
  TlsPair pair(*context);
  pair.connect();
  const std::string record("\x17\x03\x03\x00\x20", 5);
  const std::string bytes = record + pattern(0x20);
  ::send(pair.client->fd(), bytes.data(), bytes.size(), 0);
  pair.server->on_readable();
  std::array<char, 16> space;
  EXPECT_EQ(pair.server->read(space).status, StreamStatus::kError);
  EXPECT_EQ(pair.server->error(), "TLS read: decryption failed or bad record mac");
  EXPECT_GT(pair.client->pull(), 0U) << "the alert";
}

TEST(TlsStream, IdleConnectionsGiveTheirBuffersBack) {
  const auto context = make_context();
  TlsPair pair(*context);
  pair.connect();
  for (int i = 0; i < 3; ++i) {
    pair.client->write("ping");
    EXPECT_EQ(pair.server_read(), "ping");
    pair.server->write("pong");
    EXPECT_EQ(pair.client_read(), "pong");
    pair.server->release_buffers();
  }
}

TEST(TlsStream, LeftoversInOpensslsErrorQueueDoNotBreakAConnection) {
  const auto context = make_context();
  TlsPair pair(*context);
  pair.connect();
  ERR_raise(ERR_LIB_SSL, SSL_R_BAD_LENGTH);
  std::array<char, 16> space;
  pair.server->on_readable();
  EXPECT_EQ(pair.server->read(space).status, StreamStatus::kWouldBlock);
  pair.client->write("ping");
  EXPECT_EQ(pair.server_read(), "ping");
  pair.server->write("pong");
  EXPECT_EQ(pair.client_read(), "pong");
  pair.server.reset();
  EXPECT_EQ(ERR_peek_error(), 0U);
}

TEST(TlsStream, OnePeerCannotKeepATurnForItself) {
  const auto context = make_context();
  TlsPair pair(*context);
  pair.connect();
  const int size = 4 << 20;
  ::setsockopt(pair.client->fd(), SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
  pair.client->write(pattern(1 << 20));
  pair.client->push_all();
  pair.server->on_readable();
  std::vector<char> space(4 << 20);
  const ReadResult got = pair.server->read(space);
  EXPECT_EQ(got.status, StreamStatus::kOk);
  EXPECT_LE(got.bytes, 300U << 10);
}

}  // namespace
}  // namespace saola::proxy::testing
