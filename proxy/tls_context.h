// TlsContext: the TLS side of one listener: certificates by name, ALPN, versions, tickets.
//
// Not thread-safe. Outlives the streams made with it.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/config/config.h"
#include "common/core/log.h"
#include "common/core/result.h"
#include "common/ipc/control_message.h"

struct ssl_ctx_st;
struct x509_st;

namespace saola::proxy {

class TlsContext {
 public:
  // `pairs` in the order of `tls.certificates`; several may name the same hosts with other key
  // types (ECDSA and RSA side by side: the client's algorithms decide). Errors name the file: key
  // does not match, wrong password, expired chain order, ... `protocols` are offered by ALPN in
  // order of preference; empty: "http/1.1". A client that offers others only is refused with the
  // alert no_application_protocol (RFC 7301 section 3.2); one that offers none is served.
  static Result<std::unique_ptr<TlsContext>> create(const config::Tls& tls,
                                                    const std::vector<std::string>& protocols,
                                                    const std::vector<ipc::KeyPair>& pairs);
  ~TlsContext();
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;

  // Clients of `before` may resume their sessions here: both use the same ticket keys from now on.
  void share_ticket_keys(const TlsContext& before);

  // Renews the ticket keys when they are old; the last two stay valid for decryption. Call about
  // once a minute.
  void rotate_ticket_keys(std::chrono::steady_clock::time_point now);

  // True if some certificate of this listener names `host`: a name or an address as in a URL,
  // without the port.
  bool covers(std::string_view host) const;

  struct Expiry {
    std::string certificate_path;
    std::chrono::system_clock::time_point not_before;  // the latest in the chain
    std::chrono::system_clock::time_point not_after;   // the earliest in the chain
  };
  const std::vector<Expiry>& expiries() const;
  // What is allowed but hardly meant, one sentence each: a chain in disorder, no intermediates, ...
  const std::vector<std::string>& warnings() const;

  // The context that new connections start with; SNI may switch to another one.
  ssl_ctx_st* native() const;

  // For TlsStream. True if `leaf` names `host`; without `leaf`, if a certificate that `in_use`
  // offers does.
  bool certificate_covers(const ssl_ctx_st* in_use, const x509_st* leaf,
                          std::string_view host) const;

 private:
  struct State;
  explicit TlsContext(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace saola::proxy
