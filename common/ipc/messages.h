// Payloads of REQUEST, RESPONSE_HEAD and TRAILERS frames: structs <-> bytes. No I/O. Views point
// into the payload they were read from and live as long as it does.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/core/result.h"
#include "common/ipc/header_names.h"

namespace saola::ipc {

struct Field {
  std::uint8_t name_id = 0;  // 0: none of header_names.h
  std::string_view name;     // lower case; always set, also when name_id is
  std::string_view value;
};

enum class HttpVersion : std::uint8_t { k10 = 10, k11 = 11, k2 = 20 };
enum class Scheme : std::uint8_t { kHttp = 0, kHttps = 1 };

struct RequestMeta {
  Method method = Method::kGet;
  HttpVersion version = HttpVersion::k11;
  Scheme scheme = Scheme::kHttp;
  std::uint16_t client_port = 0;
  std::uint16_t server_port = 0;
  std::int64_t body_length = 0;     // bytes; -1: chunked, not known yet
  std::uint32_t queue_wait_us = 0;  // how long it waited in the edge for this worker
  std::string_view method_text;  // as sent, when method is kOther; else empty (use method_name())
  std::string_view authority;    // Host or :authority, as sent
  std::string_view path;         // percent-decoded bytes, below root_path if that is not empty
  std::string_view raw_path;     // as received, without the query
  std::string_view query;        // without '?'
  std::string_view client_host;  // numeric address, or empty (Unix socket)
  std::string_view server_host;  // numeric address, or a Unix socket's path (server_port 0)
  std::string_view request_id;
  std::string_view root_path;  // SCRIPT_NAME of the route; the app's own is the worker's matter
};

struct RequestView {
  RequestMeta meta;
  std::vector<Field> fields;
};

struct ResponseHeadView {
  std::uint16_t status = 0;
  std::int64_t content_length = -1;
  std::string_view reason;  // empty: the usual phrase of the status
  std::vector<Field> fields;
};

// Each encode_ appends to `out`. Values longer than 65535 bytes are a broken invariant: the edge's
// limits exclude them; a worker checks with kMaxFieldValue before it encodes.
inline constexpr std::size_t kMaxFieldValue = 0xffff;
void encode_request(std::string& out, const RequestMeta& meta, const std::vector<Field>& fields);

// A response head is built field by field, in place.
class ResponseHeadEncoder {
 public:
  // `reason`: the app's own phrase, or empty for the usual one of the status.
  ResponseHeadEncoder(std::string& out, std::uint16_t status, std::int64_t content_length,
                      std::string_view reason = {});
  void add(std::uint8_t name_id, std::string_view lower_case_name, std::string_view value);

 private:
  std::string& out_;
  std::size_t count_at_;
};

// Each decode_ fails on a payload that does not follow frame.h to its last byte. `view` is reused:
// its vector keeps its capacity.
Result<void> decode_request(std::string_view payload, RequestView& view);
Result<void> decode_response_head(std::string_view payload, ResponseHeadView& view);

void encode_trailers(std::string& out, const std::vector<Field>& fields);
Result<void> decode_trailers(std::string_view payload, std::vector<Field>& fields);

}  // namespace saola::ipc
