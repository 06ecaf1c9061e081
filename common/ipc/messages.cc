#include "common/ipc/messages.h"

#include <cstring>

namespace saola::ipc {
namespace {

template <class T>
void put(std::string& out, T value) {
  char bytes[sizeof(T)];
  std::memcpy(bytes, &value, sizeof value);
  out.append(bytes, sizeof value);
}

void put_text(std::string& out, std::string_view text) {
  SAOLA_CHECK(text.size() <= kMaxFieldValue);
  put(out, static_cast<std::uint16_t>(text.size()));
  out.append(text);
}

void put_field(std::string& out, std::uint8_t id, std::string_view name, std::string_view value) {
  put(out, id);
  if (id == 0) put_text(out, name);
  put_text(out, value);
}

void put_fields(std::string& out, const std::vector<Field>& fields) {
  for (const auto& field : fields) put_field(out, field.name_id, field.name, field.value);
}

// Reads values off the front of a payload; once something is missing it stays failed.
class Reader {
 public:
  explicit Reader(std::string_view input) : input_(input) {}

  template <class T>
  T take() {
    T value{};
    if (input_.size() < sizeof value) {
      failed_ = true;
      return value;
    }
    std::memcpy(&value, input_.data(), sizeof value);
    input_.remove_prefix(sizeof value);
    return value;
  }

  std::string_view text() {
    const auto size = take<std::uint16_t>();
    if (failed_ || input_.size() < size) {
      failed_ = true;
      return {};
    }
    const auto value = input_.substr(0, size);
    input_.remove_prefix(size);
    return value;
  }

  void fields(std::size_t count, std::vector<Field>& fields) {
    fields.clear();
    for (std::size_t i = 0; i < count && !failed_; ++i) {
      auto& field = fields.emplace_back();
      field.name_id = take<std::uint8_t>();
      field.name = field.name_id == 0 ? text() : header_name(field.name_id);
      field.value = text();
      if (field.name.empty()) failed_ = true;
    }
  }

  bool complete() const { return !failed_ && input_.empty(); }

 private:
  std::string_view input_;
  bool failed_ = false;
};

}  // namespace

void encode_request(std::string& out, const RequestMeta& meta, const std::vector<Field>& fields) {
  put(out, meta.method);
  put(out, meta.version);
  put(out, meta.scheme);
  put(out, std::uint8_t{0});
  put(out, meta.client_port);
  put(out, meta.server_port);
  put(out, meta.body_length);
  put(out, meta.queue_wait_us);
  put(out, static_cast<std::uint16_t>(fields.size()));
  for (const auto text : {meta.method_text, meta.authority, meta.path, meta.raw_path, meta.query,
                          meta.client_host, meta.server_host, meta.request_id, meta.root_path}) {
    put_text(out, text);
  }
  put_fields(out, fields);
}

Result<void> decode_request(std::string_view payload, RequestView& view) {
  Reader reader(payload);
  auto& meta = view.meta;
  const auto method = reader.take<std::uint8_t>();
  const auto version = reader.take<std::uint8_t>();
  const auto scheme = reader.take<std::uint8_t>();
  reader.take<std::uint8_t>();
  if (method >= kMethodCount || scheme > 1 || (version != 10 && version != 11 && version != 20)) {
    return fail("REQUEST frame with an unknown method, version or scheme");
  }
  meta.method = static_cast<Method>(method);
  meta.version = static_cast<HttpVersion>(version);
  meta.scheme = static_cast<Scheme>(scheme);
  meta.client_port = reader.take<std::uint16_t>();
  meta.server_port = reader.take<std::uint16_t>();
  meta.body_length = reader.take<std::int64_t>();
  meta.queue_wait_us = reader.take<std::uint32_t>();
  const auto count = reader.take<std::uint16_t>();
  for (auto* text : {&meta.method_text, &meta.authority, &meta.path, &meta.raw_path, &meta.query,
                     &meta.client_host, &meta.server_host, &meta.request_id, &meta.root_path}) {
    *text = reader.text();
  }
  reader.fields(count, view.fields);
  if (!reader.complete()) return fail("REQUEST frame cut short or too long");
  if (meta.body_length < -1) return fail("REQUEST frame with a length that cannot be");
  return {};
}

ResponseHeadEncoder::ResponseHeadEncoder(std::string& out, std::uint16_t status,
                                         std::int64_t content_length, std::string_view reason)
    : out_(out), count_at_(out.size() + sizeof status) {
  put(out, status);
  put(out, std::uint16_t{0});
  put(out, content_length);
  put_text(out, reason);
}

void ResponseHeadEncoder::add(std::uint8_t name_id, std::string_view name, std::string_view value) {
  put_field(out_, name_id, name, value);
  std::uint16_t count = 0;
  std::memcpy(&count, out_.data() + count_at_, sizeof count);
  ++count;
  std::memcpy(out_.data() + count_at_, &count, sizeof count);
}

Result<void> decode_response_head(std::string_view payload, ResponseHeadView& view) {
  Reader reader(payload);
  view.status = reader.take<std::uint16_t>();
  const auto count = reader.take<std::uint16_t>();
  view.content_length = reader.take<std::int64_t>();
  view.reason = reader.text();
  reader.fields(count, view.fields);
  if (!reader.complete()) return fail("RESPONSE_HEAD frame cut short or too long");
  if (view.status < 100 || view.status > 999 || view.content_length < -1) {
    return fail("RESPONSE_HEAD frame with a status or length that cannot be");
  }
  return {};
}

void encode_trailers(std::string& out, const std::vector<Field>& fields) {
  put(out, static_cast<std::uint16_t>(fields.size()));
  put_fields(out, fields);
}

Result<void> decode_trailers(std::string_view payload, std::vector<Field>& fields) {
  Reader reader(payload);
  const auto count = reader.take<std::uint16_t>();
  reader.fields(count, fields);
  if (!reader.complete()) return fail("TRAILERS frame cut short or too long");
  return {};
}

}  // namespace saola::ipc
