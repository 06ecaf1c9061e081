// Stream: the byte pipe to one client, plain or TLS, on a non-blocking socket. Not thread-safe.
//
// Reads give decrypted bytes; writes are collected and leave with flush(), so that everything one
// loop turn produced goes out in one system call (and few TLS records).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "common/core/result.h"
#include "common/core/unique_fd.h"

namespace saola::proxy {

enum class StreamStatus : std::uint8_t {
  kOk,
  kWouldBlock,  // nothing more now: wait for readable (or writable, see wants_write())
  kEof,         // the peer has ended its direction (close_notify or FIN)
  kError,       // broken: error() says why; only destruction is left
};

struct ReadResult {
  StreamStatus status;
  std::size_t bytes = 0;  // > 0 only with kOk
};

class Stream {
 public:
  virtual ~Stream() = default;

  // To be called once for each readiness event, before read(): a stream remembers that a short
  // read has emptied the socket and spares the second system call until then.
  virtual void on_readable() = 0;

  // Drives the TLS handshake and sends its flights; kOk when there is none to do (any more).
  // Session tickets may be left for the first flush() when a request is there already: call read()
  // next.
  virtual StreamStatus handshake() = 0;

  virtual ReadResult read(std::span<char> space) = 0;

  // Takes all of `bytes`. What waits is bounded by the caller with pending_output().
  virtual void write(std::string_view bytes) = 0;
  // Writes what waits as far as the socket takes it: kOk when nothing is left.
  virtual StreamStatus flush() = 0;
  virtual std::size_t pending_output() const = 0;

  // Ends our direction after what waits: close_notify, then FIN. Call flush() until kOk.
  virtual void end_output() = 0;

  // True if read() or handshake() can go on only once the socket is writable.
  virtual bool wants_write() const = 0;
  // True if decrypted bytes are buffered inside: no readiness event will tell.
  virtual bool has_buffered_input() const = 0;

  // Frees what an idle connection does not need.
  virtual void release_buffers() = 0;

  virtual int fd() const = 0;
  virtual std::string error() const = 0;

  // TLS facts; empty or false for plain streams.
  virtual bool is_tls() const { return false; }
  virtual std::string_view alpn() const { return {}; }         // "h2", "http/1.1"
  virtual std::string_view server_name() const { return {}; }  // SNI as the client sent it
  virtual std::string_view tls_version() const { return {}; }  // "TLSv1.3"
  virtual std::string_view tls_cipher() const { return {}; }
  virtual bool session_resumed() const { return false; }
  // True if the certificate in use names `host` (a wildcard counts). Plain streams: true.
  virtual bool certificate_covers(std::string_view host) const {
    static_cast<void>(host);
    return true;
  }
};

}  // namespace saola::proxy
