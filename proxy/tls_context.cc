#include "proxy/tls_context.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <unordered_map>

#include "common/core/c_ptr.h"
#include "common/core/check.h"
#include "proxy/tls_error.h"
#include "proxy/tls_key_pair.h"
#include "proxy/tls_names.h"
#include "proxy/tls_ticket_keys.h"

namespace saola::proxy {
namespace {

using SslContextPtr = CPtr<SSL_CTX, SSL_CTX_free>;

// TLS 1.2: forward secrecy and authenticated encryption only (RFC 9325 section 4.2). AES-128 first:
// on one core it moves a quarter more bytes than AES-256; SSL_OP_PRIORITIZE_CHACHA gives ChaCha20
// to clients that prefer it because they lack AES instructions.
constexpr char kDefaultCiphers[] =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
constexpr char kDefaultCiphersuites[] =
    "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
constexpr char kDefaultGroups[] = "X25519:P-256:P-384";
constexpr unsigned char kSessionContext[] = "saola";
// Two tickets: TLS 1.3 clients use each once, and browsers open a second connection at once. A
// third would cost every handshake and help few.
constexpr std::size_t kTickets = 2;

// "\x08http/1.1": RFC 7301 section 3.1.
Result<std::string> alpn_wire(const std::vector<std::string>& protocols) {
  std::string wire;
  for (const std::string& protocol : protocols) {
    if (protocol.empty() || protocol.size() > 255) {
      return fail("protocols: '" + protocol + "' is not an ALPN name");
    }
    wire.push_back(static_cast<char>(protocol.size()));
    wire += protocol;
  }
  return wire.empty() ? std::string("\x08http/1.1") : wire;
}

}  // namespace

struct TlsContext::State {
  std::vector<LoadedPair> pairs;
  std::unique_ptr<HostIndex> hosts;
  std::vector<SslContextPtr> contexts;  // one for each set of hosts->sets()
  std::unordered_map<const X509*, std::size_t> pair_of_leaf;
  std::unordered_map<const SSL_CTX*, std::size_t> set_of_context;
  std::shared_ptr<TicketKeys> tickets;
  std::string alpn;
  std::vector<Expiry> expiries;
  std::vector<std::string> warnings;

  Result<void> load(const config::Tls& tls, const std::vector<ipc::KeyPair>& key_pairs);
  Result<SslContextPtr> make_context(const config::Tls& tls, const HostIndex::Set& set);
  Result<void> set_algorithms(SSL_CTX* context, const config::Tls& tls);
  Result<void> add_pair(SSL_CTX* context, const LoadedPair& pair, const std::string& path);

  static int on_server_name(SSL* ssl, int* alert, void* self);
  static int on_alpn(SSL* ssl, const unsigned char** out, unsigned char* out_length,
                     const unsigned char* offered, unsigned offered_length, void* self);
  static int on_ticket(SSL* ssl, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher,
                       EVP_MAC_CTX* mac, int seals);
};

Result<void> TlsContext::State::load(const config::Tls& tls,
                                     const std::vector<ipc::KeyPair>& key_pairs) {
  std::vector<HostIndex::Certificate> certificates;
  for (std::size_t i = 0; i < key_pairs.size(); ++i) {
    const ipc::KeyPair& pair = key_pairs[i];
    const bool known = i < tls.certificates.size() && !tls.certificates[i].key.empty();
    auto loaded = load_key_pair(pair, known ? tls.certificates[i].key : pair.certificate_path);
    if (!loaded) return fail(loaded.error().message);
    certificates.push_back({loaded->names, loaded->key_type});
    expiries.push_back({pair.certificate_path, loaded->not_before, loaded->not_after});
    warnings.insert(warnings.end(), loaded->warnings.begin(), loaded->warnings.end());
    pair_of_leaf.emplace(loaded->leaf.get(), i);
    pairs.push_back(std::move(*loaded));
  }
  hosts = std::make_unique<HostIndex>(certificates);
  for (const HostIndex::Set& set : hosts->sets()) {
    auto context = make_context(tls, set);
    if (!context) return fail(context.error().message);
    set_of_context.emplace(context->get(), contexts.size());
    contexts.push_back(std::move(*context));
  }
  return {};
}

Result<SslContextPtr> TlsContext::State::make_context(const config::Tls& tls,
                                                      const HostIndex::Set& set) {
  SslContextPtr made(SSL_CTX_new(TLS_server_method()));
  SAOLA_CHECK(made != nullptr);
  SSL_CTX* context = made.get();
  SSL_CTX_set_app_data(context, this);
  // A FIN without close_notify is told apart in TlsStream, and must not stop us from answering:
  // there are clients that only half-close.
  SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                   SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA |
                                   SSL_OP_IGNORE_UNEXPECTED_EOF);
  SSL_CTX_set_read_ahead(context, 1);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_session_id_context(context, kSessionContext, sizeof kSessionContext - 1);
  const auto lifetime = std::chrono::duration_cast<std::chrono::seconds>(tls.session_timeout);
  SSL_CTX_set_timeout(context, static_cast<long>(lifetime.count()));
  if (tickets != nullptr) {
    SSL_CTX_set_num_tickets(context, kTickets);
    SSL_CTX_set_tlsext_ticket_key_evp_cb(context, on_ticket);
  } else {
    SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
    SSL_CTX_set_num_tickets(context, 0);
  }
  SSL_CTX_set_tlsext_servername_callback(context, on_server_name);
  SSL_CTX_set_tlsext_servername_arg(context, this);
  SSL_CTX_set_alpn_select_cb(context, on_alpn, this);
  if (auto set_up = set_algorithms(context, tls); !set_up) return fail(set_up.error().message);
  for (const std::size_t i : set) {
    auto added = add_pair(context, pairs[i], expiries[i].certificate_path);
    if (!added) return fail(added.error().message);
  }
  return made;
}

Result<void> TlsContext::State::set_algorithms(SSL_CTX* context, const config::Tls& tls) {
  const auto or_default = [](const std::string& value, const char* otherwise) {
    return value.empty() ? otherwise : value.c_str();
  };
  const int lowest =
      tls.min_version == config::TlsVersion::kTls13 ? TLS1_3_VERSION : TLS1_2_VERSION;
  ERR_clear_error();
  SAOLA_CHECK(SSL_CTX_set_min_proto_version(context, lowest) == 1);
  if (SSL_CTX_set_cipher_list(context, or_default(tls.ciphers, kDefaultCiphers)) != 1) {
    return fail("tls.ciphers: '" + tls.ciphers + "': " + take_tls_error().text);
  }
  if (SSL_CTX_set_ciphersuites(context, or_default(tls.ciphersuites, kDefaultCiphersuites)) != 1) {
    return fail("tls.ciphersuites: '" + tls.ciphersuites + "': " + take_tls_error().text);
  }
  if (SSL_CTX_set1_groups_list(context, or_default(tls.groups, kDefaultGroups)) != 1) {
    return fail("tls.groups: '" + tls.groups + "': " + take_tls_error().text);
  }
  return {};
}

Result<void> TlsContext::State::add_pair(SSL_CTX* context, const LoadedPair& pair,
                                         const std::string& path) {
  STACK_OF(X509)* chain = sk_X509_new_null();
  SAOLA_CHECK(chain != nullptr);
  for (const X509Ptr& issuer : pair.chain) sk_X509_push(chain, issuer.get());
  ERR_clear_error();
  const int added = SSL_CTX_use_cert_and_key(context, pair.leaf.get(), pair.key.get(), chain, 1);
  sk_X509_free(chain);  // the stack; the context has references of its own
  if (added != 1) return fail(path + ": " + take_tls_error().text);
  return {};
}

// Chooses the certificates for the client's name (RFC 6066 section 3); the default for none and
// unknown ones, also where the listener refuses those: only the HTTP layer can say so (421).
int TlsContext::State::on_server_name(SSL* ssl, int*, void* self) {
  const auto& state = *static_cast<State*>(self);
  const char* name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
  if (name == nullptr) return SSL_TLSEXT_ERR_NOACK;
  SSL_CTX* context = state.contexts[state.hosts->set_for(name)].get();
  if (context != SSL_get_SSL_CTX(ssl)) SSL_set_SSL_CTX(ssl, context);
  return SSL_TLSEXT_ERR_OK;
}

int TlsContext::State::on_alpn(SSL*, const unsigned char** out, unsigned char* out_length,
                               const unsigned char* offered, unsigned offered_length, void* self) {
  const std::string& ours = static_cast<State*>(self)->alpn;
  unsigned char* chosen = nullptr;
  const int result = SSL_select_next_proto(
      &chosen, out_length, reinterpret_cast<const unsigned char*>(ours.data()),
      static_cast<unsigned>(ours.size()), offered, offered_length);
  if (result != OPENSSL_NPN_NEGOTIATED) return SSL_TLSEXT_ERR_ALERT_FATAL;
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

int TlsContext::State::on_ticket(SSL* ssl, unsigned char* name, unsigned char* iv,
                                 EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac, int seals) {
  const auto* state = static_cast<State*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)));
  return seals == 1 ? state->tickets->seal(name, iv, cipher, mac)
                    : state->tickets->open(name, iv, cipher, mac);
}

Result<std::unique_ptr<TlsContext>> TlsContext::create(const config::Tls& tls,
                                                       const std::vector<std::string>& protocols,
                                                       const std::vector<ipc::KeyPair>& pairs) {
  // No openssl.cnf: what runs is what saola.toml says, and a file made for another build of OpenSSL
  // must not load its modules here (docs/tls.md).
  OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, nullptr);
  if (pairs.empty()) return fail("tls: no certificate");
  auto alpn = alpn_wire(protocols);
  if (!alpn) return fail(alpn.error().message);
  auto state = std::make_unique<State>();
  state->alpn = std::move(*alpn);
  if (tls.session_tickets) {
    state->tickets =
        std::make_unique<TicketKeys>(tls.session_timeout, std::chrono::steady_clock::now());
  }
  if (auto loaded = state->load(tls, pairs); !loaded) return fail(loaded.error().message);
  ERR_clear_error();
  return std::unique_ptr<TlsContext>(new TlsContext(std::move(state)));
}

TlsContext::TlsContext(std::unique_ptr<State> state) : state_(std::move(state)) {}
TlsContext::~TlsContext() = default;

void TlsContext::share_ticket_keys(const TlsContext& before) {
  if (state_->tickets != nullptr && before.state_->tickets != nullptr) {
    state_->tickets = before.state_->tickets;
  }
}

void TlsContext::rotate_ticket_keys(std::chrono::steady_clock::time_point now) {
  if (state_->tickets != nullptr) state_->tickets->rotate(now);
}

bool TlsContext::covers(std::string_view host) const { return state_->hosts->covers(host); }

const std::vector<TlsContext::Expiry>& TlsContext::expiries() const { return state_->expiries; }

const std::vector<std::string>& TlsContext::warnings() const { return state_->warnings; }

ssl_ctx_st* TlsContext::native() const { return state_->contexts.front().get(); }

bool TlsContext::certificate_covers(const ssl_ctx_st* in_use, const x509_st* leaf,
                                    std::string_view host) const {
  const State& state = *state_;
  if (const auto pair = state.pair_of_leaf.find(leaf); pair != state.pair_of_leaf.end()) {
    return state.hosts->certificate_covers(pair->second, host);
  }
  const auto set = state.set_of_context.find(in_use);
  if (set == state.set_of_context.end()) return false;
  for (const std::size_t certificate : state.hosts->sets()[set->second]) {
    if (state.hosts->certificate_covers(certificate, host)) return true;
  }
  return false;
}

}  // namespace saola::proxy
