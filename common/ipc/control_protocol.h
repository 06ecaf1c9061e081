// The language of the control socket (docs/control.md): one request is one line of JSON, and so is
// its answer. No I/O.
//
//   {"command": "reload", "rolling": true}
//   {"ok": true, "message": "generation 3 serves"}
//   {"ok": false, "error": "app 'app' cannot be loaded: ..."}
//   {"ok": true, "status": {...}}   {"ok": true, "requests": {...}}
//
// A request with a member that is not known is refused: ignoring one would do something else than
// what was asked for. An answer may get more members in later versions; readers skip them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "common/core/result.h"
#include "common/ipc/control_message.h"
#include "common/ipc/server_status.h"

namespace saola::ipc {

// A request's line, its end apart.
inline constexpr std::size_t kMaxControlRequest = 16 * 1024;

struct StatusRequest {};
struct RequestsRequest {};  // EdgeReport
struct ReloadRequest {
  bool rolling = false;
};
struct ScaleRequest {
  std::string app;  // empty: the only one
  int workers = 0;
};
struct StopRequest {
  bool at_once = false;
};
struct DrainRequest {};
struct ReopenRequest {};
struct StacksRequest {
  std::optional<std::uint32_t> worker;  // none: all
};
struct RecycleRequest {
  std::uint32_t worker = 0;
};
struct UpgradeRequest {};

using ControlRequest =
    std::variant<StatusRequest, RequestsRequest, ReloadRequest, ScaleRequest, StopRequest,
                 DrainRequest, ReopenRequest, StacksRequest, RecycleRequest, UpgradeRequest>;

// "reload"
std::string_view command_name(const ControlRequest& request);
// Without "\n".
std::string to_line(const ControlRequest& request);
// The error says what is wrong in words for the one who sent it.
Result<ControlRequest> parse_control_request(std::string_view line);

// One of these; an error is the reason why the command was not carried out, maybe of many lines.
struct ControlAnswer {
  std::string message;
  std::optional<Status> status;
  std::optional<EdgeReport> requests;
};

// Without "\n". Bytes that are not UTF-8 become U+FFFD.
std::string to_line(const Result<ControlAnswer>& answer);

// One object: the members of the status, and "requests" if they are there too.
std::string status_to_json(const Status& status, const EdgeReport* requests);

// An answer as it came: the outer error means that it cannot be understood.
Result<Result<ControlAnswer>> parse_control_answer(std::string_view line);

}  // namespace saola::ipc
