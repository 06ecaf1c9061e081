#include "proxy/admin/admin_server.h"

#include <arpa/inet.h>
#include <event2/bufferevent_ssl.h>
#include <event2/http_struct.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>
#include <openssl/crypto.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string>
#include <utility>

#include "common/core/descriptors.h"
#include "proxy/admin/admin_reply.h"
#include "proxy/admin/authorization.h"
#include "proxy/admin/status_page.h"

namespace saola::proxy {
namespace {

constexpr ev_ssize_t kMostHeaderBytes = 16 * 1024;
constexpr ev_ssize_t kMostBodyBytes = 1024;
constexpr std::chrono::milliseconds kLook{200};
// What the process has open beside connections.
constexpr std::size_t kOtherDescriptors = 64;
constexpr int kMisdirected = 421;
constexpr int kUnauthorized = 401;

// "example.com:9180" and "[::1]:9180" without their ports.
std::string_view without_port(std::string_view host) {
  if (host.starts_with('[')) return host.substr(1, host.find(']') - 1);
  return host.substr(0, host.find(':'));
}

bool is_address(const std::string& host) {
  std::array<unsigned char, sizeof(in6_addr)> ignored{};
  return ::inet_pton(AF_INET, host.c_str(), ignored.data()) == 1 ||
         ::inet_pton(AF_INET6, host.c_str(), ignored.data()) == 1;
}

std::string query_value(evhttp_request* request, const char* name) {
  const evhttp_uri* uri = evhttp_request_get_evhttp_uri(request);
  const char* query = uri != nullptr ? evhttp_uri_get_query(uri) : nullptr;
  if (query == nullptr) return {};
  evkeyvalq values{};
  if (evhttp_parse_query_str(query, &values) != 0) return {};
  const char* found = evhttp_find_header(&values, name);
  std::string value = found != nullptr ? found : "";
  evhttp_clear_headers(&values);
  return value;
}

std::string_view path_of(evhttp_request* request) {
  const evhttp_uri* uri = evhttp_request_get_evhttp_uri(request);
  const char* path = uri != nullptr ? evhttp_uri_get_path(uri) : nullptr;
  return path != nullptr ? path : "";
}

}  // namespace

AdminServer::AdminServer(EventLoop& loop, Source& source, Options options,
                         std::unique_ptr<TlsContext> tls)
    : loop_(loop),
      source_(source),
      options_(std::move(options)),
      tls_(std::move(tls)),
      http_(evhttp_new(loop.base())),
      look_timer_(loop, on_look, this) {
  SAOLA_CHECK(http_ != nullptr);
  // The rest is answered with 501 by evhttp.
  evhttp_set_allowed_methods(http_.get(), EVHTTP_REQ_GET | EVHTTP_REQ_HEAD);
  evhttp_set_max_headers_size(http_.get(), kMostHeaderBytes);
  evhttp_set_max_body_size(http_.get(), kMostBodyBytes);
  evhttp_set_timeout(http_.get(), kIdleSeconds);
  evhttp_set_gencb(http_.get(), on_request, this);
  evhttp_set_bevcb(http_.get(), on_connection, this);
  look_timer_.start(kLook);
}

AdminServer::~AdminServer() {
  // evhttp_free() closes connections; none of them is looked at any more.
  waiting_.clear();
}

Result<void> AdminServer::listen(UniqueFd socket) {
  auto* handle = evhttp_accept_socket_with_handle(http_.get(), socket.get());
  if (handle == nullptr) return fail("the admin address cannot be accepted on");
  socket.release();
  listeners_.push_back(evhttp_bound_socket_get_listener(handle));
  return {};
}

void AdminServer::stop_listening() {
  stopped_ = true;
  for (auto* listener : listeners_) evconnlistener_disable(listener);
}

// evhttp has no limit of its own: the kernel's queue holds who comes beyond it.
bufferevent* AdminServer::on_connection(event_base* base, void* self) {
  auto& server = *static_cast<AdminServer*>(self);
  if (count_open_descriptors() > kMostConnections + kOtherDescriptors) {
    server.full_ = true;
    for (auto* listener : server.listeners_) evconnlistener_disable(listener);
  }
  if (server.tls_ == nullptr) return nullptr;
  SSL* ssl = SSL_new(server.tls_->native());
  if (ssl == nullptr) return nullptr;
  // libevent waits for the socket and knows nothing of bytes that OpenSSL has read ahead.
  SSL_set_read_ahead(ssl, 0);
  return bufferevent_openssl_socket_new(base, -1, ssl, BUFFEREVENT_SSL_ACCEPTING,
                                        BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
}

void AdminServer::on_look(void* self) { static_cast<AdminServer*>(self)->look(); }

void AdminServer::look() {
  look_timer_.start(kLook);
  if (full_ && !stopped_ && count_open_descriptors() <= kMostConnections + kOtherDescriptors) {
    full_ = false;
    for (auto* listener : listeners_) evconnlistener_enable(listener);
  }
  std::vector<evhttp_request*> late;
  std::erase_if(waiting_, [&](const auto& one) {
    if (loop_.now() - one.second.since < kStatusTimeout) return false;
    late.push_back(one.second.request);
    return true;
  });
  for (auto* request : late) {
    reply(request, HTTP_SERVUNAVAIL, kPlainText, "the supervisor did not answer in time\n");
  }
}

void AdminServer::on_request(evhttp_request* request, void* self) {
  static_cast<AdminServer*>(self)->handle(request);
}

bool AdminServer::is_allowed_host(evhttp_request* request) const {
  const char* field = evhttp_find_header(evhttp_request_get_input_headers(request), "Host");
  if (field == nullptr) return true;  // HTTP/1.0; no browser
  const std::string host(without_port(field));
  return host == "localhost" || is_address(host) ||
         std::find(options_.hosts.begin(), options_.hosts.end(), host) != options_.hosts.end();
}

bool AdminServer::has_token(evhttp_request* request) const {
  if (options_.token.empty()) return true;
  const char* field =
      evhttp_find_header(evhttp_request_get_input_headers(request), "Authorization");
  if (field == nullptr) return false;
  const auto given = given_secret(field);
  return given && given->size() == options_.token.size() &&
         CRYPTO_memcmp(given->data(), options_.token.data(), given->size()) == 0;
}

void AdminServer::ask_for_token(evhttp_request* request) {
  auto* fields = evhttp_request_get_output_headers(request);
  // Basic is what makes a browser ask a person.
  evhttp_add_header(fields, "WWW-Authenticate", "Bearer");
  evhttp_add_header(fields, "WWW-Authenticate",
                    "Basic realm=\"Saola: the token as password\", charset=\"UTF-8\"");
  reply(request, kUnauthorized, kPlainText,
        "a token is needed: Bearer, or Basic with any name and the token as password\n");
}

void AdminServer::handle(evhttp_request* request) {
  if (!is_allowed_host(request)) {
    return reply(request, kMisdirected, kPlainText,
                 "this name is not in [admin] hosts; ask by address, or add it\n");
  }
  const std::string_view path = path_of(request);
  if (path == "/healthz") return reply(request, HTTP_OK, kPlainText, "ok\n");
  if (path == "/readyz") return show_readiness(request, query_value(request, "app"));
  if (!has_token(request)) return ask_for_token(request);
  if (path == "/") return show_page(request);
  if (path == "/metrics") {
    return reply(request, HTTP_OK, "text/plain; version=0.0.4; charset=utf-8", source_.metrics());
  }
  if (path == "/status") return wait_for_status(request);
  reply(request, HTTP_NOTFOUND, kPlainText,
        "/, /metrics, /healthz, /readyz and /status are here\n");
}

void AdminServer::show_page(evhttp_request* request) {
  static const std::string policy = content_security_policy(status_page());
  auto* fields = evhttp_request_get_output_headers(request);
  evhttp_add_header(fields, "Content-Security-Policy", policy.c_str());
  evhttp_add_header(fields, "Referrer-Policy", "no-referrer");
  reply(request, HTTP_OK, kHtml, status_page());
}

void AdminServer::show_readiness(evhttp_request* request, std::string_view app) {
  const Readiness readiness = source_.readiness(app);
  reply(request, readiness.ready ? HTTP_OK : HTTP_SERVUNAVAIL, kPlainText, readiness.text);
}

void AdminServer::wait_for_status(evhttp_request* request) {
  const std::uint32_t ask = ++last_ask_;
  waiting_[ask] = {request, loop_.now()};
  evhttp_connection_set_closecb(evhttp_request_get_connection(request), on_client_gone, this);
  source_.ask_status(ask);
}

// The requests of a connection that closes are freed with it.
void AdminServer::on_client_gone(evhttp_connection* connection, void* self) {
  std::erase_if(static_cast<AdminServer*>(self)->waiting_, [connection](const auto& one) {
    return evhttp_request_get_connection(one.second.request) == connection;
  });
}

void AdminServer::give_status(std::uint32_t ask, std::string_view json) {
  const auto found = waiting_.find(ask);
  if (found == waiting_.end()) return;
  evhttp_request* request = found->second.request;
  waiting_.erase(found);
  reply(request, HTTP_OK, kJson, json);
}

}  // namespace saola::proxy
