// Writes HTTP/1.1 response heads and frames bodies (RFC 9112 sections 4, 6 and 7). No I/O.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "common/ipc/messages.h"

namespace saola::proxy::http1 {

enum class Framing : std::uint8_t {
  kNone,    // no body on the wire: HEAD, 204, 304
  kLength,  // Content-Length
  kChunked,
  kUntilClose,  // HTTP/1.0 client and no length
};

struct ResponseOptions {
  ipc::Method request_method = ipc::Method::kGet;
  ipc::HttpVersion request_version = ipc::HttpVersion::k11;
  bool keep_alive = true;            // what the connection would like
  std::string_view server = {};      // value of Server; empty: none is added
  std::string_view date = {};        // value of Date
  std::string_view request_id = {};  // X-Request-ID is added if the app has not set it; empty: none
};

struct WrittenHead {
  Framing framing;
  bool keep_alive;  // false: the connection ends after this response
  std::int64_t
      content_length;  // -1 if not known; what the body must come to when framing is kLength
};

// Appends a complete head for `head` to `out`. `head.content_length` is used when the app gave no
// Content-Length. Hop-by-hop fields of the app are dropped (RFC 9110 section 7.6.1), as are names
// that are no tokens and values with CR, LF or NUL: a worker has refused those already. A
// Content-Length of the app that is not a number, or given twice with different values, is dropped.
WrittenHead write_response_head(std::string& out, const ipc::ResponseHeadView& head,
                                const ResponseOptions& options);

// Appends an interim (1xx) head with the app's fields. 100 Continue: write_continue().
void write_interim_head(std::string& out, const ipc::ResponseHeadView& head);
void write_continue(std::string& out);

// Appends "SIZE\r\n" data "\r\n"; nothing for empty data (that would end the body).
void write_chunk(std::string& out, std::string_view data);
// Appends the last chunk and the trailer section.
void write_last_chunk(std::string& out, const std::vector<ipc::Field>& trailers = {});

// A whole short answer of the server's own: "413 Content Too Large\nrequest id: ...\n", text/plain.
void write_error_response(std::string& out, int status, std::string_view request_id,
                          std::string_view extra_fields, const ResponseOptions& options);

std::string_view reason_phrase(int status);  // "" for unknown ones

// "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110 section 5.6.7).
std::string http_date(std::int64_t unix_seconds);

}  // namespace saola::proxy::http1
