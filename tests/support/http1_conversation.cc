#include "tests/support/http1_conversation.h"

#include <algorithm>
#include <utility>

#include "common/core/check.h"
#include "proxy/request_target.h"

namespace saola::test {
namespace {

namespace http1 = proxy::http1;

HeardRequest copy_of(const http1::RequestHead& head) {
  HeardRequest heard;
  heard.method = head.method_text;
  heard.target = head.target;
  heard.authority = head.authority;
  heard.raw_path = head.raw_path;
  heard.query = head.query;
  heard.method_id = head.method;
  heard.version = head.version;
  heard.form = head.form;
  heard.keep_alive = head.keep_alive;
  heard.expect_continue = head.expect_continue;
  heard.upgrade = head.upgrade;
  heard.chunked = head.chunked;
  heard.content_length = head.content_length;
  for (const auto& f : head.fields) {
    heard.fields.push_back({f.name_id, std::string(f.name), std::string(f.value)});
  }
  return heard;
}

class Reader {
 public:
  explicit Reader(const ConversationLimits& limits) : limits_(limits), parser_(limits.head) {}

  // False once nothing more is read.
  bool read(std::string_view piece) {
    while (!piece.empty() && open_) {
      const auto taken = in_body_ ? read_body(piece) : read_head(piece);
      piece.remove_prefix(taken);
    }
    return open_;
  }

  Conversation finish() {
    if (open_ && (in_body_ || !parser_.idle())) {
      conversation_.status = Conversation::kUnfinished;
      conversation_.reason = "unfinished";
    }
    return std::move(conversation_);
  }

 private:
  std::size_t refuse(const http1::HttpError& error) {
    conversation_.status = error.status;
    conversation_.reason = error.reason;
    open_ = false;
    return 0;
  }

  std::size_t read_head(std::string_view piece) {
    const auto taken = parser_.feed(piece);
    if (!taken) {
      // An error is final.
      SAOLA_CHECK(!parser_.complete());
      SAOLA_CHECK(!parser_.feed("GET / HTTP/1.1\r\n"));
      return refuse(taken.error());
    }
    SAOLA_CHECK(*taken <= piece.size());
    SAOLA_CHECK(parser_.complete() || *taken == piece.size());
    if (parser_.complete()) begin_request();
    return *taken;
  }

  void begin_request() {
    SAOLA_CHECK(parser_.feed("x").value() == 0);
    parser_.take_head(head_);
    SAOLA_CHECK(parser_.idle() && !parser_.complete());
    request_ = copy_of(head_);
    if (auto decoded = proxy::decode_path(head_.raw_path, request_.path); !decoded) {
      refuse(decoded.error());
      return;
    }
    const auto length = head_.content_length;
    if (length > 0 && static_cast<std::uint64_t>(length) > limits_.body_bytes) {
      refuse({413, "Content-Length over the limit"});
      return;
    }
    if (head_.chunked) {
      http1::BodyLimits limits;
      limits.body_bytes = limits_.body_bytes;
      decoder_.start_chunked(limits);
    } else {
      decoder_.start_length(static_cast<std::uint64_t>(length));
    }
    in_body_ = true;
    if (decoder_.complete()) end_request();
  }

  std::size_t read_body(std::string_view piece) {
    const auto step = decoder_.feed(piece);
    if (!step) {
      SAOLA_CHECK(!decoder_.complete());
      SAOLA_CHECK(!decoder_.feed("0"));
      return refuse(step.error());
    }
    SAOLA_CHECK(step->taken > 0 && step->taken <= piece.size());
    request_.body.append(step->data);
    SAOLA_CHECK(request_.body.size() <= limits_.body_bytes);
    if (decoder_.complete()) end_request();
    return step->taken;
  }

  void end_request() {
    SAOLA_CHECK(decoder_.feed("x").value().taken == 0);
    if (head_.chunked) request_.trailers = decoder_.trailers();
    in_body_ = false;
    open_ = head_.keep_alive;
    conversation_.requests.push_back(std::move(request_));
    request_ = {};
  }

  ConversationLimits limits_;
  http1::RequestParser parser_;
  http1::BodyDecoder decoder_;
  http1::RequestHead head_;
  HeardRequest request_;
  Conversation conversation_;
  bool in_body_ = false;
  bool open_ = true;
};

}  // namespace

Conversation converse(std::string_view bytes, const std::function<std::size_t()>& next_piece,
                      const ConversationLimits& limits) {
  Reader reader(limits);
  while (!bytes.empty()) {
    const auto size = std::min(bytes.size(), std::max<std::size_t>(next_piece(), 1));
    // A copy of its own: a view kept past feed() shows under AddressSanitizer.
    const std::string piece(bytes.substr(0, size));
    if (!reader.read(piece)) break;
    bytes.remove_prefix(size);
  }
  return reader.finish();
}

}  // namespace saola::test
