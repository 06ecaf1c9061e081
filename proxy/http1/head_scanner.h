// Finds the lines of a request head in bytes that arrive in any pieces, and refuses bytes that
// could be read in two ways: a CR without LF, an LF without CR, control bytes, folded lines (RFC
// 9112 sections 2.2 and 5.2). Enforces the limits of a head while it is still incomplete. No I/O.
//
// Every verdict depends on the bytes alone, never on how they were cut into pieces.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "common/core/result.h"
#include "proxy/http1/request_parser.h"

namespace saola::proxy::http1 {

class HeadScanner {
 public:
  // Scans `piece`, which continues the last one, and returns how many bytes belong to the head so
  // far. Stops early behind the request line's CRLF and behind the empty line that ends the head.
  Result<std::size_t, HttpError> scan(std::string_view piece, const HeadLimits& limits);

  bool has_request_line() const { return phase_ != Phase::kRequestLine; }
  bool complete() const { return phase_ == Phase::kDone; }
  // Without its CRLF; requires has_request_line().
  std::size_t request_line_size() const { return request_line_size_; }
  std::size_t field_count() const { return field_count_; }

 private:
  enum class Phase : std::uint8_t { kRequestLine, kFields, kDone };

  // The verdict on the current line when it is known to reach at least to `size` bytes.
  const HttpError* check_size(std::size_t size, const HeadLimits& limits) const;
  const HttpError* end_line(const HeadLimits& limits);

  Phase phase_ = Phase::kRequestLine;
  bool after_cr_ = false;      // the last byte of the last piece was a CR
  std::size_t line_size_ = 0;  // of the current line, as far as earlier pieces had it
  std::size_t request_line_size_ = 0;
  std::size_t field_bytes_ = 0;  // of complete field lines, with their CRLFs
  std::size_t field_count_ = 0;
};

}  // namespace saola::proxy::http1
