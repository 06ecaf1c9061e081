#include "proxy/http1/body_decoder.h"

#include <algorithm>
#include <limits>

#include "common/core/check.h"
#include "proxy/http1/syntax.h"

namespace saola::proxy::http1 {
namespace {

// More digits than a 64-bit size has are refused even when they are zeros: readers that count
// digits and readers that count value disagree on them.
constexpr std::size_t kMaxSizeDigits = 16;
// Sums of sizes stay within what Content-Length can say.
constexpr std::uint64_t kMaxBody = std::numeric_limits<std::int64_t>::max();

Unexpected<HttpError> refuse(int status, const char* reason) {
  return Unexpected{HttpError{status, reason}};
}

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Fields that say how to read or route a message have no place behind it (RFC 9110 section 6.5.1).
bool is_forbidden_trailer(std::string_view name) {
  namespace field = ipc::field;
  switch (ipc::header_name_id(name)) {
    case field::kHost:
    case field::kContentLength:
    case field::kTransferEncoding:
    case field::kConnection:
    case field::kKeepAlive:
    case field::kProxyConnection:
    case field::kTe:
    case field::kTrailer:
    case field::kUpgrade:
    case field::kExpect:
      return true;
    default:
      return false;
  }
}

}  // namespace

void BodyDecoder::start_length(std::uint64_t length) {
  state_ = length > 0 ? State::kLength : State::kDone;
  left_ = length;
  trailers_.clear();
}

void BodyDecoder::start_chunked(const BodyLimits& limits) {
  limits_ = limits;
  state_ = State::kSize;
  left_ = total_ = 0;
  size_digits_ = line_size_ = extension_bytes_ = trailer_bytes_ = 0;
  line_.clear();
  trailers_.clear();
}

Result<BodyDecoder::Step, HttpError> BodyDecoder::feed(std::string_view input) {
  if (state_ == State::kFailed) return Unexpected{error_};
  Step step;
  while (step.taken < input.size() && state_ != State::kDone) {
    if (state_ == State::kLength || state_ == State::kData) {
      step.data = take_data(input.substr(step.taken));
      step.taken += step.data.size();
      return step;
    }
    if (auto taken = take_byte(input[step.taken]); !taken) {
      state_ = State::kFailed;
      error_ = taken.error();
      return Unexpected{error_};
    }
    ++step.taken;
  }
  return step;
}

std::string_view BodyDecoder::take_data(std::string_view input) {
  const auto data =
      input.substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(left_, input.size())));
  left_ -= data.size();
  if (left_ == 0) state_ = state_ == State::kLength ? State::kDone : State::kDataCr;
  return data;
}

Result<void, HttpError> BodyDecoder::take_byte(char c) {
  switch (state_) {
    case State::kSize:
      return take_size(c);
    case State::kExtension:
      return take_extension(c);
    case State::kSizeLf:
      if (c != '\n') return refuse(400, "CR without LF in a chunk line");
      return end_chunk_line();
    case State::kDataCr:
      if (c != '\r') return refuse(400, "chunk longer than its size");
      state_ = State::kDataLf;
      return {};
    case State::kDataLf:
      if (c != '\n') return refuse(400, "CR without LF behind a chunk");
      state_ = State::kSize;
      size_digits_ = line_size_ = 0;
      return {};
    case State::kTrailer:
      return take_trailer(c);
    case State::kTrailerLf:
      if (c != '\n') return refuse(400, "CR without LF in the trailer section");
      return end_trailer_line();
    case State::kDone:
    case State::kLength:
    case State::kData:
    case State::kFailed:
      break;
  }
  SAOLA_UNREACHABLE();
}

Result<void, HttpError> BodyDecoder::take_size(char c) {
  ++line_size_;
  if (const int digit = hex_value(c); digit >= 0) {
    if (++size_digits_ > kMaxSizeDigits) return refuse(400, "chunk size with too many digits");
    if (left_ >> 60 != 0) return refuse(400, "chunk size overflows");
    left_ = left_ << 4 | static_cast<unsigned>(digit);
    return {};
  }
  if (size_digits_ == 0) return refuse(400, "chunk without a size");
  if (c == '\r') {
    state_ = State::kSizeLf;
  } else if (c == ';') {
    state_ = State::kExtension;
  } else {
    return refuse(400, "malformed chunk size");
  }
  return {};
}

// Extensions mean nothing to us; they must only not hide a line end, nor go on for ever.
Result<void, HttpError> BodyDecoder::take_extension(char c) {
  if (c == '\r') {
    state_ = State::kSizeLf;
    return {};
  }
  if (is_control(c)) return refuse(400, "control byte in a chunk extension");
  if (++line_size_ > limits_.chunk_line) return refuse(400, "chunk line over the limit");
  if (++extension_bytes_ > limits_.extension_bytes) {
    return refuse(400, "chunk extensions over the limit");
  }
  return {};
}

Result<void, HttpError> BodyDecoder::end_chunk_line() {
  if (left_ == 0) {
    state_ = State::kTrailer;
    return {};
  }
  const std::uint64_t limit = limits_.body_bytes != 0 ? limits_.body_bytes : kMaxBody;
  if (total_ > limit || left_ > limit - total_) return refuse(413, "chunked body over the limit");
  total_ += left_;
  state_ = State::kData;
  return {};
}

Result<void, HttpError> BodyDecoder::take_trailer(char c) {
  if (c == '\r') {
    state_ = State::kTrailerLf;
    return {};
  }
  if (is_control(c)) return refuse(400, "control byte in the trailer section");
  if (++trailer_bytes_ > limits_.trailer_bytes)
    return refuse(431, "trailer section over the limit");
  line_.push_back(c);
  return {};
}

Result<void, HttpError> BodyDecoder::end_trailer_line() {
  if (line_.empty()) {
    state_ = State::kDone;
    return {};
  }
  const auto colon = line_.find(':');
  if (colon == std::string::npos) return refuse(400, "trailer line without a colon");
  std::string name = line_.substr(0, colon);
  if (!lower_field_name(name.data(), name.size())) return refuse(400, "trailer name is no token");
  if (is_forbidden_trailer(name)) return refuse(400, "framing field among the trailers");
  trailers_.emplace_back(std::move(name), trim_ows(std::string_view(line_).substr(colon + 1)));
  line_.clear();
  state_ = State::kTrailer;
  return {};
}

}  // namespace saola::proxy::http1
