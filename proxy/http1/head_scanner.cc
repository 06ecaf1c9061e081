#include "proxy/http1/head_scanner.h"

#include "proxy/http1/syntax.h"

namespace saola::proxy::http1 {
namespace {

constexpr HttpError kLineTooLong{414, "request line over the limit"};
constexpr HttpError kFieldTooLong{431, "header field over the limit"};
constexpr HttpError kFieldsTooLong{431, "header fields over the limit together"};
constexpr HttpError kTooManyFields{431, "too many header fields"};
constexpr HttpError kBareCr{400, "CR without LF in the request head"};
constexpr HttpError kBareLf{400, "LF without CR in the request head"};
constexpr HttpError kControl{400, "control byte in the request head"};
constexpr HttpError kFolded{400, "line of the request head starts with a space or tab"};

}  // namespace

inline const HttpError* HeadScanner::check_size(std::size_t size, const HeadLimits& limits) const {
  if (phase_ == Phase::kRequestLine) {
    return size > limits.request_line ? &kLineTooLong : nullptr;
  }
  if (size == 0) return nullptr;
  if (field_count_ >= limits.header_count) return &kTooManyFields;
  if (size > limits.header_field) return &kFieldTooLong;
  if (field_bytes_ + size > limits.header_bytes) return &kFieldsTooLong;
  return nullptr;
}

inline const HttpError* HeadScanner::end_line(const HeadLimits& limits) {
  const std::size_t size = line_size_;
  if (phase_ == Phase::kRequestLine) {
    request_line_size_ = size;
    phase_ = Phase::kFields;
  } else if (size == 0) {
    phase_ = Phase::kDone;
  } else {
    field_bytes_ += size + 2;
    ++field_count_;
    if (field_bytes_ > limits.header_bytes) return &kFieldsTooLong;
  }
  line_size_ = 0;
  return nullptr;
}

Result<std::size_t, HttpError> HeadScanner::scan(std::string_view piece, const HeadLimits& limits) {
  const char* const begin = piece.data();
  const char* const end = begin + piece.size();
  const char* at = begin;
  while (at != end) {
    if (after_cr_) {
      after_cr_ = false;
      if (*at != '\n') return Unexpected{kBareCr};
      const Phase before = phase_;
      if (const auto* error = end_line(limits)) return Unexpected{*error};
      ++at;
      if (phase_ != before) return static_cast<std::size_t>(at - begin);
      continue;
    }
    if (line_size_ == 0 && (*at == ' ' || *at == '\t')) return Unexpected{kFolded};
    const char* const stop = find_control(at, end);
    line_size_ += static_cast<std::size_t>(stop - at);
    if (const auto* error = check_size(line_size_, limits)) return Unexpected{*error};
    if (stop == end) break;
    if (*stop == '\n') return Unexpected{kBareLf};
    if (*stop != '\r') return Unexpected{kControl};
    after_cr_ = true;
    at = stop + 1;
  }
  return piece.size();
}

}  // namespace saola::proxy::http1
