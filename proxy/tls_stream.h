// A TLS connection as a Stream; OpenSSL works on a BIO of ours over the socket.
//
// The BIO reads as much as the socket has (read-ahead), notes a short read, and collects the
// records that SSL_write makes until flush(). All SSL_* calls on a connection live in
// tls_stream.cc.
#pragma once

#include <memory>

#include "proxy/stream.h"
#include "proxy/tls_context.h"

namespace saola::proxy {

// Takes the socket; `context` outlives the stream. `prefix` are bytes already read from the socket
// (after a
std::unique_ptr<Stream> make_tls_stream(UniqueFd socket, TlsContext& context,
                                        std::string_view prefix = {});

}  // namespace saola::proxy
