// The request path: parser, path and body decoder over arbitrary bytes in arbitrary pieces. The
// bytes are what a client sends, so the corpus seeds it as it is; the pieces are drawn from the
// bytes themselves.
#include <cstdint>
#include <random>
#include <string>
#include <string_view>

#include "common/core/check.h"
#include "proxy/http1/response_writer.h"
#include "proxy/http1/syntax.h"
#include "tests/support/http1_conversation.h"

namespace saola {
namespace {

namespace http1 = proxy::http1;
using test::Conversation;
using test::converse;
using test::HeardRequest;

void check_request(const HeardRequest& request) {
  SAOLA_CHECK(http1::is_token(request.method));
  SAOLA_CHECK(request.method_id != ipc::Method::kConnect &&
              request.method_id != ipc::Method::kTrace);
  SAOLA_CHECK(ipc::method_id(request.method) == request.method_id);
  SAOLA_CHECK(!request.target.empty());
  for (const char c : request.target) SAOLA_CHECK(c > 0x20 && c < 0x7f && c != '#');
  SAOLA_CHECK(request.raw_path == "*" || request.raw_path.front() == '/');
  SAOLA_CHECK(request.path.find('\0') == std::string::npos);
  SAOLA_CHECK(request.path.size() <= request.raw_path.size());
  SAOLA_CHECK(request.authority.empty() || http1::is_valid_authority(request.authority));
  int hosts = 0, lengths = 0, codings = 0;
  for (const auto& field : request.fields) {
    SAOLA_CHECK(http1::is_token(field.name));
    SAOLA_CHECK(field.name_id == ipc::header_name_id(field.name));
    for (const char c : field.name) SAOLA_CHECK(c < 'A' || c > 'Z');
    SAOLA_CHECK(!http1::has_control(field.value));
    SAOLA_CHECK(http1::trim_ows(field.value) == field.value);
    hosts += field.name_id == ipc::field::kHost;
    lengths += field.name_id == ipc::field::kContentLength;
    codings += field.name_id == ipc::field::kTransferEncoding;
  }
  SAOLA_CHECK(hosts == 1 || (hosts == 0 && request.version == ipc::HttpVersion::k10));
  SAOLA_CHECK(lengths + codings <= 1);
  SAOLA_CHECK(request.chunked == (codings == 1) &&
              request.chunked == (request.content_length == -1));
  if (!request.chunked) {
    SAOLA_CHECK(request.body.size() == static_cast<std::uint64_t>(request.content_length));
  }
  for (const auto& [name, value] : request.trailers) {
    SAOLA_CHECK(http1::is_token(name) && !http1::has_control(value));
  }
}

// The request as plainly as it can be written.
std::string rewritten(const HeardRequest& request) {
  std::string out = request.method + " " + request.target +
                    (request.version == ipc::HttpVersion::k11 ? " HTTP/1.1\r\n" : " HTTP/1.0\r\n");
  for (const auto& field : request.fields) out += field.name + ": " + field.value + "\r\n";
  out += "\r\n";
  if (!request.chunked) return out + request.body;
  http1::write_chunk(out, request.body);
  out += "0\r\n";
  for (const auto& [name, value] : request.trailers) out += name + ": " + value + "\r\n";
  return out + "\r\n";
}

void check_same(const Conversation& a, const Conversation& b) {
  SAOLA_CHECK(a.status == b.status);
  SAOLA_CHECK(a.requests == b.requests);
}

}  // namespace
}  // namespace saola

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace saola;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  std::minstd_rand random(static_cast<unsigned>(std::hash<std::string_view>()(bytes)));

  test::ConversationLimits limits;
  limits.body_bytes = 4096;
  if (random() % 2 == 0) {
    limits.head = {.request_line = 60, .header_count = 5, .header_field = 50, .header_bytes = 120};
  }
  const auto whole = converse(bytes, bytes.size(), limits);
  check_same(converse(bytes, 1, limits), whole);
  const auto largest = 1 + random() % 40;
  check_same(converse(
                 bytes, [&] { return 1 + random() % largest; }, limits),
             whole);

  for (const auto& request : whole.requests) {
    check_request(request);
    const auto again = converse(rewritten(request), size, {});
    SAOLA_CHECK(again.status == 0 && again.requests.size() == 1);
    SAOLA_CHECK(again.requests.front() == request);
  }
  return 0;
}
