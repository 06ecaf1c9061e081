#include "proxy/admin/admin_reply.h"

#include <event2/buffer.h>
#include <event2/keyvalq_struct.h>
#include <zlib.h>

#include <cstring>
#include <string>

#include "common/core/c_ptr.h"

namespace saola::proxy {
namespace {

// Below this a packet is as large as before.
constexpr std::size_t kWorthCompressing = 1024;
constexpr int kGzipWindow = 15 + 16;  // zlib: 16 more means a gzip header
constexpr int kFast = 1;
constexpr int kUsualMemory = 8;

using EvbufferPtr = CPtr<evbuffer, evbuffer_free>;

// RFC 9110 section 12.5.3, as far as scrapers use it: gzip is named, and not with q=0.
bool accepts_gzip(evhttp_request* request) {
  const char* value =
      evhttp_find_header(evhttp_request_get_input_headers(request), "Accept-Encoding");
  if (value == nullptr) return false;
  const std::string_view text(value);
  const std::size_t at = text.find("gzip");
  if (at == std::string_view::npos) return false;
  const std::string_view rest = text.substr(at, text.find(',', at) - at);
  return rest.find("q=0,") == std::string_view::npos && !rest.ends_with("q=0");
}

// Empty if it could not be compressed.
std::string gzip(std::string_view text) {
  z_stream stream{};
  if (deflateInit2(&stream, kFast, Z_DEFLATED, kGzipWindow, kUsualMemory, Z_DEFAULT_STRATEGY) !=
      Z_OK) {
    return {};
  }
  std::string out(deflateBound(&stream, static_cast<uLong>(text.size())), '\0');
  // zlib does not write to its input.
  stream.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  const int result = deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return result == Z_STREAM_END ? out : std::string();
}

}  // namespace

void reply(evhttp_request* request, int status, const char* content_type, std::string_view body) {
  auto* fields = evhttp_request_get_output_headers(request);
  evhttp_add_header(fields, "Content-Type", content_type);
  evhttp_add_header(fields, "Cache-Control", "no-store");
  evhttp_add_header(fields, "X-Content-Type-Options", "nosniff");
  std::string compressed;
  if (body.size() >= kWorthCompressing && accepts_gzip(request)) compressed = gzip(body);
  if (!compressed.empty()) {
    evhttp_add_header(fields, "Content-Encoding", "gzip");
    evhttp_add_header(fields, "Vary", "Accept-Encoding");
    body = compressed;
  }
  const EvbufferPtr buffer(evbuffer_new());
  if (buffer == nullptr || evbuffer_add(buffer.get(), body.data(), body.size()) != 0) {
    return evhttp_send_error(request, HTTP_SERVUNAVAIL, nullptr);
  }
  evhttp_send_reply(request, status, nullptr, buffer.get());
}

}  // namespace saola::proxy
