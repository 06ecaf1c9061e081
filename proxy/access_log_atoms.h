// The atoms of access log formats: what they are called and how one exchange renders them.
#pragma once

#include <chrono>
#include <cstdint>
#include <ctime>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/access_log.h"

namespace saola::proxy {

enum class Atom : std::uint8_t {
  kLiteral,
  kClientHost,
  kIdent,
  kUser,
  kTime,
  kRequestLine,
  kStatus,
  kMethod,
  kPath,
  kQuery,
  kProtocol,
  kBytes,
  kReferer,
  kUserAgent,
  kSeconds,
  kMicroseconds,
  kMilliseconds,
  kDecimalSeconds,
  kPid,
  kRequestHeader,
  kResponseHeader,
  kVariable,
  kClientPort,
  kTarget,
  kScheme,
  kHost,
  kRequestBytes,
  kQueueWait,
  kAppTime,
  kRequestId,
  kApp,
  kWorker,
  kGeneration,
  kRetries,
  kTlsVersion,
  kUpstream,
  kOutcome,
  kIsoTime,
};

// One step of a format.
struct LogOp {
  Atom atom = Atom::kLiteral;
  std::string text = {};     // the literal, or a header's name in lower case
  std::uint8_t name_id = 0;  // of that header
  bool hidden = false;       // what it says, or its query, is not shown
};

bool is_hidden(const LogOp& op, const Redaction& redaction);

// `name` is what stands between "%(" and ")s". Nothing if it is unknown.
std::optional<LogOp> find_atom(std::string_view name);
std::vector<std::string_view> atom_names();

// Time stamps, worked out once a second.
class LogClock {
 public:
  using Time = std::chrono::system_clock::time_point;
  // [21/Nov/2026:09:00:00 +0000], local time
  std::string_view common(Time time);
  // 2026-11-21T09:00:00.123Z
  void append_iso(std::string& out, Time time);

 private:
  std::time_t common_second_ = -1;
  std::string common_;
  std::time_t iso_second_ = -1;
  std::string iso_;
};

// Appends what `op` says of `record`, escaped; "-" for what is missing. `scratch` is any string.
void append_atom(std::string& out, const LogOp& op, const AccessRecord& record, LogClock& clock,
                 std::string& scratch);

// Parts that the JSON format needs as well.
std::string_view last_field(const std::vector<ipc::Field>* fields, std::uint8_t id,
                            std::string_view name);
std::string_view protocol_name(ipc::HttpVersion version);
void append_decimal_seconds(std::string& out, std::chrono::microseconds time);  // 1.000250

}  // namespace saola::proxy
