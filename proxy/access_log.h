// Access log lines: one per finished exchange. Formatting only; a LineWriter takes the line.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/core/log_writer.h"
#include "common/core/redaction.h"
#include "common/core/result.h"
#include "common/ipc/messages.h"

namespace saola::proxy {

// Everything a line can say about one exchange. Views live as long as the call.
struct AccessRecord {
  std::chrono::system_clock::time_point finished;
  std::string_view client_host;
  std::uint16_t client_port = 0;
  std::string_view method;
  std::string_view target;  // as sent, path and query
  std::string_view raw_path;
  std::string_view query;
  ipc::HttpVersion version = ipc::HttpVersion::k11;
  ipc::Scheme scheme = ipc::Scheme::kHttp;
  std::string_view authority;
  int status = 0;                    // 0: none was sent
  std::uint64_t request_bytes = 0;   // body
  std::uint64_t response_bytes = 0;  // body as sent
  std::chrono::microseconds total{0};
  std::chrono::microseconds queue_wait{0};
  std::chrono::microseconds app_time{0};
  std::string_view request_id;
  std::string_view app;
  std::uint32_t worker_pid = 0;  // 0: no worker had it
  std::uint32_t worker_id = 0;
  std::uint32_t generation = 0;
  int retries = 0;
  std::string_view tls_version;  // empty: plain
  std::string_view upstream;     // "complete", "begun" or "silent"; empty: no worker had it
  std::string_view outcome;  // "ok", "client_gone", "refused", "queue_timeout", "app_broken", ...
  const std::vector<ipc::Field>* request_fields = nullptr;
  const std::vector<ipc::Field>* response_fields = nullptr;
};

// Not thread-safe, not even append(): it keeps the rendered second and scratch space.
class AccessLogFormat {
 public:
  // "combined", "json", or a string with gunicorn's atoms (%(h)s, %({user-agent}i)s, %(L)s, ...)
  // plus ours, documented in docs/logging.md. An unknown atom is an error that names it.
  // What `redaction` hides, no atom shows: "[redacted]" stands there.
  static Result<AccessLogFormat> parse(std::string_view format, const Redaction& redaction = {});
  AccessLogFormat(AccessLogFormat&&) noexcept;
  AccessLogFormat& operator=(AccessLogFormat&&) noexcept;
  ~AccessLogFormat();

  // True if a line shows fields of the answer: only then need they be kept for it.
  bool uses_response_fields() const;

  // Appends one line with "\n". Control bytes, quotes and backslashes from outside are escaped: as
  // \xHH, in JSON as JSON does it. No allocation once `out` and the scratch space have their size.
  void append(std::string& out, const AccessRecord& record) const;

  // How the log's writer reports dropped lines in this format.
  DropNote drop_note() const;

  // Every atom that parse() knows, as it is written between "%(" and ")s".
  static std::vector<std::string_view> atoms();

 private:
  struct State;
  explicit AccessLogFormat(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace saola::proxy
