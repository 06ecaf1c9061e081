#include "proxy/access_log_json.h"

#include <array>
#include <charconv>

#include "common/core/utf8.h"

namespace saola::proxy {
namespace {

constexpr char kHexDigits[] = "0123456789abcdef";

void append_unicode_escape(std::string& out, unsigned code) {
  const char escape[] = {'\\',
                         'u',
                         kHexDigits[code >> 12 & 15],
                         kHexDigits[code >> 8 & 15],
                         kHexDigits[code >> 4 & 15],
                         kHexDigits[code & 15]};
  out.append(escape, sizeof escape);
}

// `,"name":` with a comma unless it is the first key.
class ObjectWriter {
 public:
  explicit ObjectWriter(std::string& out) : out_(out) { out_.push_back('{'); }
  void finish() { out_.push_back('}'); }

  std::string& key(std::string_view name) {
    if (!first_) out_.push_back(',');
    first_ = false;
    out_.push_back('"');
    out_ += name;
    out_ += "\":";
    return out_;
  }
  void text(std::string_view name, std::string_view value) {
    key(name);
    if (value.empty()) {
      out_ += "null";
    } else {
      append_json_string(out_, value);
    }
  }
  void number(std::string_view name, std::uint64_t value) {
    key(name);
    std::array<char, 20> digits;
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
    out_.append(digits.data(), end);
  }
  void number_or_null(std::string_view name, std::uint64_t value, bool known) {
    if (known) return number(name, value);
    key(name) += "null";
  }
  void seconds(std::string_view name, std::chrono::microseconds value) {
    append_decimal_seconds(key(name), value);
  }

 private:
  std::string& out_;
  bool first_ = true;
};

}  // namespace

void append_json_string(std::string& out, std::string_view text) {
  out.push_back('"');
  std::size_t start = 0;
  std::size_t at = 0;
  while (at < text.size()) {
    const auto byte = static_cast<unsigned char>(text[at]);
    if (byte >= 0x20 && byte < 0x7f && byte != '"' && byte != '\\') {
      ++at;
      continue;
    }
    const std::size_t length = byte < 0x80 ? 0 : utf8_sequence_length(text.substr(at));
    const bool c1 = length > 0 && is_c1_control(text.substr(at));
    if (length > 0 && !c1) {
      at += length;
      continue;
    }
    out.append(text, start, at - start);
    if (byte == '"' || byte == '\\') {
      out.push_back('\\');
      out.push_back(static_cast<char>(byte));
    } else if (c1) {
      append_unicode_escape(out, static_cast<unsigned char>(text[++at]));
    } else {
      append_unicode_escape(out, byte < 0x80 ? byte : 0xfffdU);
    }
    start = ++at;
  }
  out.append(text, start);
  out.push_back('"');
}

void append_json_record(std::string& out, const AccessRecord& record, LogClock& clock) {
  ObjectWriter object(out);
  std::string& time = object.key("time");
  time.push_back('"');
  clock.append_iso(time, record.finished);
  time.push_back('"');
  object.text("client", record.client_host);
  object.number("client_port", record.client_port);
  object.text("method", record.method);
  object.text("scheme", record.scheme == ipc::Scheme::kHttps ? "https" : "http");
  object.text("host", record.authority);
  object.text("target", record.target);
  object.text("protocol", protocol_name(record.version));
  object.number_or_null("status", static_cast<std::uint64_t>(record.status), record.status != 0);
  object.number("request_bytes", record.request_bytes);
  object.number("response_bytes", record.response_bytes);
  object.seconds("duration", record.total);
  object.seconds("queue", record.queue_wait);
  object.seconds("app_time", record.app_time);
  object.text("request_id", record.request_id);
  object.text("app", record.app);
  const bool had_worker = record.worker_pid != 0;
  object.number_or_null("worker", record.worker_id, had_worker);
  object.number_or_null("worker_pid", record.worker_pid, had_worker);
  object.number_or_null("generation", record.generation, had_worker);
  object.number("retries", static_cast<std::uint64_t>(record.retries < 0 ? 0 : record.retries));
  object.text("outcome", record.outcome);
  object.text("tls", record.tls_version);
  object.text("referer", last_field(record.request_fields, ipc::field::kReferer, "referer"));
  object.text("user_agent",
              last_field(record.request_fields, ipc::field::kUserAgent, "user-agent"));
  object.finish();
}

}  // namespace saola::proxy
