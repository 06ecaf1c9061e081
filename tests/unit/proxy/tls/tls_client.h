// The other end of a stream under test: a real OpenSSL client whose bytes reach the socket only
// when, and in the portions, that the test says.
#pragma once

#include <openssl/ssl.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/core/c_ptr.h"
#include "proxy/stream.h"
#include "proxy/tls_stream.h"

namespace saola::proxy::testing {

using SslPtr = CPtr<SSL, SSL_free>;
using SslContextPtr = CPtr<SSL_CTX, SSL_CTX_free>;
using SessionPtr = CPtr<SSL_SESSION, SSL_SESSION_free>;

struct SocketPair {
  UniqueFd ours;
  UniqueFd theirs;
};
SocketPair make_socket_pair();

// Everything that can be read from a non-blocking socket now.
std::string read_socket(int fd, std::size_t limit = ~std::size_t{0});

struct ClientOptions {
  std::string server_name = {};
  std::string alpn = {};  // wire format
  std::string signature_algorithms = {};
  std::string ciphers = {};  // TLS 1.2
  int min_version = TLS1_VERSION;
  int max_version = TLS1_3_VERSION;
  SSL_SESSION* session = nullptr;  // to resume
  std::size_t piece = 1 << 16;     // bytes that reach the server at once
};

class TlsClient {
 public:
  TlsClient(UniqueFd socket, const ClientOptions& options);

  // Runs the handshake to its end on both sides; the server's last status.
  StreamStatus handshake(Stream& server);

  // One portion of our bytes into the socket; false if none is left.
  bool push();
  void push_all() {
    while (push()) {
    }
  }
  // Reads the socket (at most `limit` bytes) into OpenSSL; the number of bytes.
  std::size_t pull(std::size_t limit = ~std::size_t{0});

  void write(std::string_view bytes);  // waits for push()
  std::string read();                  // what pull() brought, decrypted
  void send_close_notify() { SSL_shutdown(ssl_.get()); }
  void shut_socket();  // FIN
  void close_socket() { socket_.reset(); }
  int fd() const { return socket_.get(); }
  SSL* ssl() const { return ssl_.get(); }

  std::string common_name() const;  // of the certificate that the server showed
  bool was_refused() const { return refused_; }
  const std::string& refusal() const { return refusal_; }  // OpenSSL's reason
  bool saw_close_notify() const {
    return (SSL_get_shutdown(ssl_.get()) & SSL_RECEIVED_SHUTDOWN) != 0;
  }
  const std::string& raw_input() const { return raw_input_; }  // since clear_raw_input()
  void clear_raw_input() { raw_input_.clear(); }
  // The newest ticket as a session to resume. OpenSSL would not resume one whose connection broke
  // off.
  SessionPtr take_session() {
    SSL_set_shutdown(ssl_.get(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    return std::move(session_);
  }

 private:
  static int on_session(SSL* ssl, SSL_SESSION* session);

  UniqueFd socket_;
  SslContextPtr context_;
  SslPtr ssl_;
  BIO* incoming_ = nullptr;
  BIO* outgoing_ = nullptr;
  std::size_t piece_;
  std::string raw_input_;
  SessionPtr session_;
  bool refused_ = false;
  std::string refusal_;
};

// A server stream and its client, handshake not begun.
struct TlsPair {
  TlsPair(TlsContext& context, const ClientOptions& options = {});
  std::unique_ptr<Stream> server;
  std::unique_ptr<TlsClient> client;

  // The handshake; expected to succeed.
  void connect();
  // Moves everything both ways until nothing moves any more; what the server read.
  std::string server_read();
  // Flushes and hands the client what arrives, until all is read.
  std::string client_read();
};

}  // namespace saola::proxy::testing
