// Incremental parser for HTTP/1.x request heads (RFC 9112 sections 2 to 6). No I/O.
//
// llhttp reads the head; what it lets pass and we do not (see request_parser.cc) is checked on the
// bytes. Nothing ambiguous comes out: a head is either understood in the one strict way, or
// refused.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/core/result.h"
#include "common/ipc/messages.h"

namespace saola::proxy::http1 {

struct HeadLimits {
  std::size_t request_line = 8190;
  std::size_t header_count = 100;
  std::size_t header_field = 8190;
  std::size_t header_bytes = 64 * 1024;
};

// A refusal: the status to answer with before closing (400, 405, 413, 414, 417, 431, 501, 505) and
// why, for the log. `reason` is a string literal.
struct HttpError {
  int status;
  const char* reason;
};

enum class TargetForm : std::uint8_t { kOrigin, kAbsolute, kAsterisk };

struct RequestHead {
  ipc::Method method = ipc::Method::kGet;
  ipc::HttpVersion version = ipc::HttpVersion::k11;
  TargetForm form = TargetForm::kOrigin;
  bool keep_alive = true;  // as the client wishes: version and Connection
  bool expect_continue = false;
  bool upgrade = false;  // Connection: upgrade and an Upgrade field (ignored until tunnels exist)
  bool chunked = false;  // Transfer-Encoding: chunked, and nothing else
  std::int64_t content_length = 0;  // -1 when chunked; 0 without a body
  std::string_view method_text;
  std::string_view target;     // as sent
  std::string_view authority;  // from absolute-form, else Host; as sent; may be empty (HTTP/1.0)
  std::string_view
      raw_path;            // of the target; "*" for asterisk-form; "/" for an empty absolute path
  std::string_view query;  // without '?'
  std::vector<ipc::Field> fields;  // names in lower case; all fields in order, hop-by-hop ones too

  bool has_body() const { return content_length != 0; }

  // Owns the bytes that the views point into. Moving keeps views valid; copying is not offered.
  std::vector<char> text;
  RequestHead() = default;
  RequestHead(RequestHead&&) = default;
  RequestHead& operator=(RequestHead&&) = default;
  void clear();  // keeps capacity
};

class RequestParser {
 public:
  explicit RequestParser(const HeadLimits& limits);
  ~RequestParser();
  RequestParser(RequestParser&&) noexcept;

  // Takes a prefix of `input`; returns how many bytes it took. Once complete() it takes none. Empty
  // lines before a request line are skipped, a few (RFC 9112 section 2.2). An error is final.
  Result<std::size_t, HttpError> feed(std::string_view input);

  bool complete() const;
  // True between requests: not one byte of a head has come.
  bool idle() const;

  // Requires complete(). Swaps the head into `head` (whose storage is reused for the next one) and
  // starts over.
  void take_head(RequestHead& head);

  // Frees storage that an idle connection does not need.
  void release_buffers();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace saola::proxy::http1
