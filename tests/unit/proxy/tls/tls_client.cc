#include "tls_client.h"

#include <gtest/gtest.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>

#include "common/core/check.h"
#include "proxy/tls_key_pair.h"

namespace saola::proxy::testing {

SocketPair make_socket_pair() {
  int fds[2];
  SAOLA_CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
  return {UniqueFd(fds[0]), UniqueFd(fds[1])};
}

std::string read_socket(int fd, std::size_t limit) {
  std::string all;
  std::array<char, 16384> space;
  while (all.size() < limit) {
    const ssize_t n = ::recv(fd, space.data(), std::min(space.size(), limit - all.size()), 0);
    if (n <= 0) break;
    all.append(space.data(), static_cast<std::size_t>(n));
  }
  return all;
}

TlsClient::TlsClient(UniqueFd socket, const ClientOptions& options)
    : socket_(std::move(socket)),
      context_(SSL_CTX_new(TLS_client_method())),
      piece_(options.piece) {
  SSL_CTX* context = context_.get();
  SSL_CTX_set_min_proto_version(context, options.min_version);
  SSL_CTX_set_max_proto_version(context, options.max_version);
  if (options.max_version < TLS1_2_VERSION) SSL_CTX_set_security_level(context, 0);
  if (!options.ciphers.empty()) {
    SAOLA_CHECK(SSL_CTX_set_cipher_list(context, options.ciphers.c_str()) == 1);
  }
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(context, on_session);
  ssl_.reset(SSL_new(context));
  SSL* ssl = ssl_.get();
  SSL_set_app_data(ssl, this);
  SSL_set_connect_state(ssl);
  if (!options.server_name.empty()) SSL_set_tlsext_host_name(ssl, options.server_name.c_str());
  if (!options.signature_algorithms.empty()) {
    SAOLA_CHECK(SSL_set1_sigalgs_list(ssl, options.signature_algorithms.c_str()) == 1);
  }
  if (!options.alpn.empty()) {
    SSL_set_alpn_protos(ssl, reinterpret_cast<const unsigned char*>(options.alpn.data()),
                        static_cast<unsigned>(options.alpn.size()));
  }
  if (options.session != nullptr) SSL_set_session(ssl, options.session);
  incoming_ = BIO_new(BIO_s_mem());
  outgoing_ = BIO_new(BIO_s_mem());
  BIO_set_mem_eof_return(incoming_, -1);
  SSL_set_bio(ssl, incoming_, outgoing_);
}

int TlsClient::on_session(SSL* ssl, SSL_SESSION* session) {
  static_cast<TlsClient*>(SSL_get_app_data(ssl))->session_.reset(session);
  return 1;
}

StreamStatus TlsClient::handshake(Stream& server) {
  StreamStatus status = StreamStatus::kWouldBlock;
  for (int turn = 0; turn < 100000; ++turn) {
    ERR_clear_error();
    const int result = SSL_do_handshake(ssl_.get());
    if (result != 1 && SSL_get_error(ssl_.get(), result) == SSL_ERROR_SSL && !refused_) {
      refused_ = true;
      const char* reason = ERR_reason_error_string(ERR_get_error());
      refusal_ = reason != nullptr ? reason : "";
    }
    const bool pushed = push();
    if (pushed) server.on_readable();
    status = server.handshake();
    const bool pulled = pull() > 0;
    const bool over = status == StreamStatus::kError || status == StreamStatus::kEof;
    if ((over || refused_) && !pushed && !pulled) return status;
    if (status == StreamStatus::kOk && result == 1 && !pushed && !pulled) return status;
  }
  return status;
}

bool TlsClient::push() {
  char* bytes = nullptr;
  const auto waiting = static_cast<std::size_t>(BIO_get_mem_data(outgoing_, &bytes));
  if (waiting == 0) return false;
  const ssize_t n = ::send(socket_.get(), bytes, std::min(waiting, piece_), MSG_NOSIGNAL);
  if (n <= 0) return false;
  std::string taken(static_cast<std::size_t>(n), '\0');
  BIO_read(outgoing_, taken.data(), static_cast<int>(n));
  return true;
}

std::size_t TlsClient::pull(std::size_t limit) {
  const std::string bytes = read_socket(socket_.get(), limit);
  raw_input_ += bytes;
  if (!bytes.empty()) BIO_write(incoming_, bytes.data(), static_cast<int>(bytes.size()));
  return bytes.size();
}

void TlsClient::write(std::string_view bytes) {
  SAOLA_CHECK(SSL_write(ssl_.get(), bytes.data(), static_cast<int>(bytes.size())) ==
              static_cast<int>(bytes.size()));
}

std::string TlsClient::read() {
  std::string all;
  std::array<char, 16384> space;
  for (;;) {
    const int n = SSL_read(ssl_.get(), space.data(), static_cast<int>(space.size()));
    if (n <= 0) break;
    all.append(space.data(), static_cast<std::size_t>(n));
  }
  ERR_clear_error();
  return all;
}

void TlsClient::shut_socket() { ::shutdown(socket_.get(), SHUT_WR); }

std::string TlsClient::common_name() const {
  const X509Ptr shown(SSL_get1_peer_certificate(ssl_.get()));
  if (shown == nullptr) return "";
  std::array<char, 256> name{};
  X509_NAME_get_text_by_NID(X509_get_subject_name(shown.get()), NID_commonName, name.data(),
                            static_cast<int>(name.size()));
  return name.data();
}

TlsPair::TlsPair(TlsContext& context, const ClientOptions& options) {
  SocketPair sockets = make_socket_pair();
  server = make_tls_stream(std::move(sockets.ours), context);
  client = std::make_unique<TlsClient>(std::move(sockets.theirs), options);
}

void TlsPair::connect() {
  ASSERT_EQ(client->handshake(*server), StreamStatus::kOk) << server->error();
  client->pull();
  client->read();  // session tickets
  client->clear_raw_input();
}

std::string TlsPair::server_read() {
  std::string all;
  std::array<char, 8192> space;
  bool moved = true;
  while (moved) {
    moved = client->push();
    server->on_readable();
    for (;;) {
      const ReadResult got = server->read(space);
      if (got.status != StreamStatus::kOk) break;
      all.append(space.data(), got.bytes);
      moved = true;
    }
  }
  return all;
}

std::string TlsPair::client_read() {
  std::string all;
  for (;;) {
    const StreamStatus status = server->flush();
    const bool pulled = client->pull() > 0;
    all += client->read();
    if (!pulled && status != StreamStatus::kWouldBlock) return all;
  }
}

}  // namespace saola::proxy::testing
