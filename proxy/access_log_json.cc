#include "proxy/access_log_json.h"

#include <array>
#include <charconv>

#include "common/core/json_text.h"

namespace saola::proxy {
namespace {

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
  void url(std::string_view name, std::string_view value, bool without_query) {
    if (!without_query) return text(name, value);
    thread_local std::string shown;
    shown.clear();
    append_without_query(shown, value);
    text(name, shown);
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

void append_json_record(std::string& out, const AccessRecord& record, const Redaction& redaction,
                        LogClock& clock) {
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
  object.url("target", record.target, redaction.query);
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
  object.text("upstream", record.upstream);
  object.text("outcome", record.outcome);
  object.text("tls", record.tls_version);
  object.url("referer", last_field(record.request_fields, ipc::field::kReferer, "referer"),
             redaction.query);
  object.text("user_agent",
              last_field(record.request_fields, ipc::field::kUserAgent, "user-agent"));
  object.finish();
}

}  // namespace saola::proxy
