// What the bytes of one client connection come to, read as the edge reads them: parser, path and
// body decoder in turn.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/http1/body_decoder.h"
#include "proxy/http1/request_parser.h"

namespace saola::test {

struct HeardField {
  std::uint8_t name_id;
  std::string name;
  std::string value;
  bool operator==(const HeardField&) const = default;
};

// A request with everything that the parser said of it, in storage of its own.
struct HeardRequest {
  std::string method;
  std::string target;
  std::string authority;
  std::string raw_path;
  std::string path;
  std::string query;
  ipc::Method method_id{};
  ipc::HttpVersion version{};
  proxy::http1::TargetForm form{};
  bool keep_alive = false;
  bool expect_continue = false;
  bool upgrade = false;
  bool chunked = false;
  std::int64_t content_length = 0;
  std::vector<HeardField> fields;
  std::string body;
  std::vector<std::pair<std::string, std::string>> trailers;
  bool operator==(const HeardRequest&) const = default;
};

struct Conversation {
  static constexpr int kUnfinished = 408;  // the bytes stop in the middle of a request

  std::vector<HeardRequest> requests;
  int status = 0;  // the refusal that ended it, kUnfinished, or 0
  std::string reason;
};

struct ConversationLimits {
  proxy::http1::HeadLimits head;
  std::uint64_t body_bytes = 1024 * 1024;
};

// `next_piece` says how many bytes arrive together next, at least 1.
Conversation converse(std::string_view bytes, const std::function<std::size_t()>& next_piece,
                      const ConversationLimits& limits = {});
inline Conversation converse(std::string_view bytes, std::size_t piece,
                             const ConversationLimits& limits = {}) {
  return converse(
      bytes, [piece] { return piece; }, limits);
}

}  // namespace saola::test
