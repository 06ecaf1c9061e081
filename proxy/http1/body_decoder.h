// Decodes a request body: Content-Length and chunked (RFC 9112 sections 6 and 7). No I/O.
//
// Strict: chunk lines end with CRLF, sizes are hex digits without overflow, extensions and trailer
// fields are bounded and free of control bytes; trailers are checked like header fields. Every
// verdict depends on the bytes alone, never on how they were cut into pieces.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/core/result.h"
#include "proxy/http1/request_parser.h"

namespace saola::proxy::http1 {

struct BodyLimits {
  std::uint64_t body_bytes = 0;             // 413 beyond it; 0: no limit
  std::size_t chunk_line = 4096;            // size and extensions of one chunk; 400
  std::size_t extension_bytes = 16 * 1024;  // extensions of a whole body; 400
  std::size_t trailer_bytes = 8 * 1024;     // 431
};

class BodyDecoder {
 public:
  BodyDecoder() = default;

  // Content-Length: the caller has compared it with the limit already.
  void start_length(std::uint64_t length);
  void start_chunked(const BodyLimits& limits);

  struct Step {
    std::size_t taken = 0;  // bytes of `input` used
    std::string_view data;  // body bytes, a part of `input`; may be empty
  };
  // Call until `taken` is 0 or complete(). Once complete() it takes none: the rest is the next
  // request. An error is final.
  Result<Step, HttpError> feed(std::string_view input);

  bool complete() const { return state_ == State::kDone; }
  // After complete(): trailer fields of a chunked body, names in lower case (own storage).
  const std::vector<std::pair<std::string, std::string>>& trailers() const { return trailers_; }

 private:
  enum class State : std::uint8_t {
    kDone,
    kLength,     // within a Content-Length body
    kSize,       // hex digits
    kExtension,  // behind the ';'
    kSizeLf,     // the LF that ends the chunk line
    kData,       // within a chunk
    kDataCr,     // the CRLF behind it
    kDataLf,
    kTrailer,  // a trailer line, or the empty line that ends the body
    kTrailerLf,
    kFailed
  };

  std::string_view take_data(std::string_view input);
  Result<void, HttpError> take_byte(char c);
  Result<void, HttpError> take_size(char c);
  Result<void, HttpError> take_extension(char c);
  Result<void, HttpError> end_chunk_line();
  Result<void, HttpError> take_trailer(char c);
  Result<void, HttpError> end_trailer_line();

  State state_ = State::kDone;
  std::uint64_t left_ = 0;  // of the body or the current chunk
  std::uint64_t total_ = 0;
  BodyLimits limits_;
  std::size_t size_digits_ = 0;
  std::size_t line_size_ = 0;  // of the chunk line so far
  std::size_t extension_bytes_ = 0;
  std::string line_;  // an incomplete trailer line
  std::size_t trailer_bytes_ = 0;
  HttpError error_{};  // in kFailed
  std::vector<std::pair<std::string, std::string>> trailers_;
};

}  // namespace saola::proxy::http1
