// OpenSSL sees a BIO whose two ends are this object:
//
//   socket --recv--> [OpenSSL's record buffer, up to 16 KiB ahead] --decrypt--> read()
//   write() --> plain_ (up to one record) --encrypt--> output_ --one send--> socket
//
// Read-ahead makes one recv(2) fetch whatever the client sent, straight into OpenSSL's own record
// buffer; without it each record would cost two. A recv(2) that filled less than its space has
// emptied the socket, so the next one waits for on_readable(). plain_ collects small writes (a
// head, a body) into one record; the BIO takes every record, so SSL_write never has to be repeated.
#include "proxy/tls_stream.h"

#include <openssl/bio.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "common/core/c_ptr.h"
#include "common/core/check.h"
#include "proxy/output_buffer.h"
#include "proxy/tls_error.h"

namespace saola::proxy {
namespace {

using SslPtr = CPtr<SSL, SSL_free>;
using BioMethodPtr = CPtr<BIO_METHOD, BIO_meth_free>;

constexpr std::size_t kRecord = SSL3_RT_MAX_PLAIN_LENGTH;
// What one read() or handshake() takes from the socket at most: a peer that sends records without
// data as fast as we read them gets no longer turn than others.
constexpr std::size_t kTurnBudget = std::size_t{256} << 10;

// For a browser that was pointed at the TLS port with http://.
constexpr std::string_view kPlainHttpAnswer =
    "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 53\r\n"
    "Connection: close\r\n\r\nThis port speaks TLS: use https:// instead of http://";

class TlsStream final : public Stream {
 public:
  TlsStream(UniqueFd socket, TlsContext& context, std::string_view prefix);
  ~TlsStream() override { clear_tls_errors(); }

  void on_readable() override {
    drained_ = false;
    starved_ = false;
  }
  StreamStatus handshake() override;
  ReadResult read(std::span<char> space) override;
  void write(std::string_view bytes) override;
  StreamStatus flush() override;
  std::size_t pending_output() const override { return plain_.size() + output_.size(); }
  void end_output() override { ending_ = true; }
  bool wants_write() const override { return !handshaken_ && !output_.empty(); }
  bool has_buffered_input() const override;
  void release_buffers() override;
  int fd() const override { return socket_.get(); }
  std::string error() const override { return error_; }

  bool is_tls() const override { return true; }
  std::string_view alpn() const override;
  std::string_view server_name() const override;
  std::string_view tls_version() const override { return SSL_get_version(ssl_.get()); }
  std::string_view tls_cipher() const override { return SSL_get_cipher_name(ssl_.get()); }
  bool session_resumed() const override { return SSL_session_reused(ssl_.get()) == 1; }
  bool certificate_covers(std::string_view host) const override;

 private:
  static const BIO_METHOD* bio_method();
  int take_from_socket(BIO* bio, char* space, std::size_t size);
  int reason_of(int result) const;
  StreamStatus fail(std::string text);
  StreamStatus fail_on_ssl(const char* what, int ssl_error);
  StreamStatus end_of_input(int ssl_error);
  bool encrypt(std::string_view bytes);

  UniqueFd socket_;
  TlsContext& context_;
  SslPtr ssl_;
  std::string prefix_;
  std::string plain_;
  OutputBuffer output_;
  std::string error_;
  std::size_t budget_ = 0;
  int socket_error_ = 0;
  bool drained_ = false;     // the last recv(2) emptied the socket
  bool starved_ = false;     // OpenSSL can give nothing before on_readable()
  bool socket_eof_ = false;  // FIN seen
  bool read_ended_ = false;  // close_notify or FIN reported
  bool accepted_ = false;    // OpenSSL's handshake is complete
  bool handshaken_ = false;  // and our last flight has left
  bool failed_ = false;
  bool ending_ = false;
  bool close_made_ = false;
  bool ended_ = false;
};

const BIO_METHOD* TlsStream::bio_method() {
  static const BioMethodPtr method = [] {
    BioMethodPtr made(BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "saola stream"));
    SAOLA_CHECK(made != nullptr);
    BIO_meth_set_read(made.get(), [](BIO* bio, char* space, int size) {
      BIO_clear_retry_flags(bio);
      if (size <= 0) return 0;
      auto* self = static_cast<TlsStream*>(BIO_get_data(bio));
      return self->take_from_socket(bio, space, static_cast<std::size_t>(size));
    });
    BIO_meth_set_write(made.get(), [](BIO* bio, const char* bytes, int size) {
      BIO_clear_retry_flags(bio);
      if (size <= 0) return 0;
      auto* self = static_cast<TlsStream*>(BIO_get_data(bio));
      self->output_.append({bytes, static_cast<std::size_t>(size)});
      return size;
    });
    BIO_meth_set_ctrl(made.get(), [](BIO* bio, int command, long, void*) -> long {
      if (command == BIO_CTRL_FLUSH) return 1;
      if (command != BIO_CTRL_EOF) return 0;
      return static_cast<TlsStream*>(BIO_get_data(bio))->socket_eof_ ? 1 : 0;
    });
    return made;
  }();
  return method.get();
}

TlsStream::TlsStream(UniqueFd socket, TlsContext& context, std::string_view prefix)
    : socket_(std::move(socket)),
      context_(context),
      ssl_(SSL_new(context.native())),
      prefix_(prefix) {
  BIO* bio = BIO_new(bio_method());
  SAOLA_CHECK(ssl_ != nullptr && bio != nullptr);
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_.get(), bio, bio);  // takes it, once for both ends
  SSL_set_accept_state(ssl_.get());
}

int TlsStream::take_from_socket(BIO* bio, char* space, std::size_t size) {
  if (!prefix_.empty()) {
    const std::size_t n = std::min(size, prefix_.size());
    std::copy_n(prefix_.data(), n, space);
    prefix_.erase(0, n);
    if (prefix_.empty()) prefix_ = std::string();
    return static_cast<int>(n);
  }
  if (socket_eof_ || socket_error_ != 0) return 0;
  while (!drained_ && budget_ > 0) {
    const ssize_t n = ::recv(socket_.get(), space, size, 0);
    if (n > 0) {
      const auto bytes = static_cast<std::size_t>(n);
      drained_ = bytes < size;
      budget_ -= std::min(budget_, bytes);
      return static_cast<int>(n);
    }
    if (n == 0) {
      socket_eof_ = true;
      return 0;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
      drained_ = true;
    } else if (errno != EINTR) {
      socket_error_ = errno;
      return -1;
    }
  }
  BIO_set_retry_read(bio);
  return -1;
}

// SSL_get_error(), but for the usual case without a look at the thread's error queue: it takes a
// twentieth of a small request, and what somebody left in it does not turn "wait" into "broken".
int TlsStream::reason_of(int result) const {
  const bool waits = SSL_want_read(ssl_.get()) && BIO_should_retry(SSL_get_rbio(ssl_.get())) != 0;
  return waits ? SSL_ERROR_WANT_READ : SSL_get_error(ssl_.get(), result);
}

StreamStatus TlsStream::handshake() {
  if (failed_) return StreamStatus::kError;
  if (handshaken_) return StreamStatus::kOk;
  if (!accepted_ && !starved_) {
    clear_tls_errors();
    budget_ = kTurnBudget;
    const int result = SSL_do_handshake(ssl_.get());
    if (result == 1) {
      accepted_ = true;
      clear_tls_errors();
    } else {
      const int ssl_error = reason_of(result);
      if (ssl_error != SSL_ERROR_WANT_READ) {
        if (socket_eof_) {
          clear_tls_errors();
          error_ = "the client closed the connection during the TLS handshake";
          read_ended_ = true;
          return StreamStatus::kEof;
        }
        return fail_on_ssl("TLS handshake", ssl_error);
      }
      starved_ = true;
    }
  }
  // The client's first request came with its last flight: session tickets leave with our answer.
  if (accepted_ && SSL_has_pending(ssl_.get()) == 1) {
    handshaken_ = true;
    return StreamStatus::kOk;
  }
  const StreamStatus sent = output_.send_to(socket_.get(), socket_error_);
  if (sent == StreamStatus::kError) {
    return fail(std::string("TLS handshake: ") + std::strerror(socket_error_));
  }
  handshaken_ = accepted_ && sent == StreamStatus::kOk;
  return handshaken_ ? StreamStatus::kOk : StreamStatus::kWouldBlock;
}

ReadResult TlsStream::read(std::span<char> space) {
  if (failed_) return {StreamStatus::kError};
  if (!handshaken_) {
    const StreamStatus status = handshake();
    if (status != StreamStatus::kOk) return {status};
  }
  if (read_ended_) return {StreamStatus::kEof};
  if (starved_) return {StreamStatus::kWouldBlock};
  budget_ = kTurnBudget;
  std::size_t total = 0;
  StreamStatus status = StreamStatus::kOk;
  while (total < space.size()) {
    std::size_t n = 0;
    const int result = SSL_read_ex(ssl_.get(), space.data() + total, space.size() - total, &n);
    if (result != 1) {
      status = end_of_input(reason_of(result));
      break;
    }
    total += n;
    if (SSL_has_pending(ssl_.get()) == 0) {
      starved_ = drained_ && prefix_.empty();
      break;
    }
  }
  // What arrived before the end is delivered first; the next call tells the end.
  if (total > 0) return {StreamStatus::kOk, total};
  return {status};
}

// Why SSL_read gave nothing.
StreamStatus TlsStream::end_of_input(int ssl_error) {
  if (ssl_error == SSL_ERROR_WANT_READ) {
    starved_ = true;
    return StreamStatus::kWouldBlock;
  }
  if (ssl_error == SSL_ERROR_ZERO_RETURN || (socket_eof_ && ssl_error == SSL_ERROR_SYSCALL)) {
    clear_tls_errors();
    read_ended_ = true;
    // OpenSSL asks for more bytes only while it has no close_notify.
    if (socket_eof_) error_ = "the client closed the connection without close_notify";
    return StreamStatus::kEof;
  }
  return fail_on_ssl("TLS read", ssl_error);
}

void TlsStream::write(std::string_view bytes) {
  if (ending_) return;
  while (!bytes.empty() && !failed_) {
    if (plain_.empty() && bytes.size() >= kRecord) {
      const std::size_t whole = bytes.size() / kRecord * kRecord;
      encrypt(bytes.substr(0, whole));
      bytes.remove_prefix(whole);
      continue;
    }
    const std::size_t n = std::min(bytes.size(), kRecord - plain_.size());
    plain_.append(bytes.substr(0, n));
    bytes.remove_prefix(n);
    if (plain_.size() == kRecord) {
      encrypt(plain_);
      plain_.clear();
    }
  }
}

bool TlsStream::encrypt(std::string_view bytes) {
  std::size_t written = 0;
  const int result = SSL_write_ex(ssl_.get(), bytes.data(), bytes.size(), &written);
  if (result == 1) return true;
  fail_on_ssl("TLS write", reason_of(result));
  return false;
}

StreamStatus TlsStream::flush() {
  if (failed_) return StreamStatus::kError;
  if (!plain_.empty()) {
    const bool encrypted = encrypt(plain_);
    plain_.clear();
    if (!encrypted) return StreamStatus::kError;
  }
  if (ending_ && !close_made_) {
    close_made_ = true;
    if (accepted_) SSL_shutdown(ssl_.get());
    clear_tls_errors();
  }
  const StreamStatus status = output_.send_to(socket_.get(), socket_error_);
  if (status == StreamStatus::kError) {
    return fail(std::string("TLS write: ") + std::strerror(socket_error_));
  }
  if (status == StreamStatus::kOk && ending_ && !ended_) {
    ended_ = true;
    ::shutdown(socket_.get(), SHUT_WR);  // fails only if the peer is gone, which read() will tell
  }
  return status;
}

bool TlsStream::has_buffered_input() const {
  // A part of a record counts as pending for OpenSSL; starved_ knows that it is not enough.
  return accepted_ && !starved_ && !read_ended_ &&
         (!prefix_.empty() || SSL_has_pending(ssl_.get()) == 1);
}

void TlsStream::release_buffers() {
  if (plain_.empty()) plain_ = std::string();
  output_.release();
  if (accepted_) SSL_free_buffers(ssl_.get());  // keeps them if a part of a record is inside
}

StreamStatus TlsStream::fail(std::string text) {
  failed_ = true;
  error_ = std::move(text);
  clear_tls_errors();
  return StreamStatus::kError;
}

// Takes OpenSSL's reason, and lets its fatal alert out as far as the socket takes it.
StreamStatus TlsStream::fail_on_ssl(const char* what, int ssl_error) {
  std::string text = std::string(what) + ": ";
  if (socket_error_ != 0) return fail(text + std::strerror(socket_error_));
  if (ssl_error != SSL_ERROR_SSL) {
    return fail(text + "OpenSSL error class " + std::to_string(ssl_error));
  }
  const TlsError reason = take_tls_error();
  const bool plain_http = reason.from_ssl && reason.reason == SSL_R_HTTP_REQUEST;
  if (plain_http) output_.append(kPlainHttpAnswer);
  int ignored = 0;
  output_.send_to(socket_.get(), ignored);
  if (!plain_http) return fail(text + reason.text);
  ::shutdown(socket_.get(), SHUT_WR);
  return fail(text + "the client speaks plain HTTP");
}

std::string_view TlsStream::alpn() const {
  const unsigned char* name = nullptr;
  unsigned length = 0;
  SSL_get0_alpn_selected(ssl_.get(), &name, &length);
  return {reinterpret_cast<const char*>(name), length};
}

std::string_view TlsStream::server_name() const {
  const char* name = SSL_get_servername(ssl_.get(), TLSEXT_NAMETYPE_host_name);
  return name != nullptr ? name : std::string_view();
}

bool TlsStream::certificate_covers(std::string_view host) const {
  // A resumed session sent no certificate: any of those for this name could have been the one.
  const X509* leaf = session_resumed() ? nullptr : SSL_get_certificate(ssl_.get());
  return context_.certificate_covers(SSL_get_SSL_CTX(ssl_.get()), leaf, host);
}

}  // namespace

std::unique_ptr<Stream> make_tls_stream(UniqueFd socket, TlsContext& context,
                                        std::string_view prefix) {
  return std::make_unique<TlsStream>(std::move(socket), context, prefix);
}

}  // namespace saola::proxy
