// Messages between the supervisor and its children: structs <-> JSON text. No I/O.
//
//   supervisor -> edge     EdgeInit (first), WorkerAdd, WorkerDrain, WorkerRemove, WorkerProbe,
//                          EdgePrepare, EdgeCommit, EdgeAbandon, ReleaseClients, Drain, Stop,
//                          ReopenLogs, EdgeInspect
//   edge -> supervisor     Ready, BootFailed, WorkerIdle (a draining worker has nothing left),
//                          WorkerLost, WorkerOverdue, WorkerProbed, EdgePrepared, EdgeRefused, Drained,
//                          EdgeReport
//   supervisor -> worker   WorkerInit (first), Drain (finish and exit), Stop (exit now), WorkerRewire,
//                          DumpStacks, ReopenLogs
//   worker -> supervisor   Born (first, if a zygote forked it), Ready, BootFailed, StacksDumped
//   supervisor -> admin    AdminInit (first), AdminStatus, Drain, Stop, ReopenLogs
//   admin -> supervisor    Ready, BootFailed, AdminAsk
//   supervisor -> zygote   ZygoteInit (first), ZygoteFork, Stop, ReopenLogs
//   zygote -> supervisor   Ready (the app is imported), BootFailed
//
// Descriptors travel with a message in the order its comment says.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "common/core/result.h"
#include "common/core/unique_fd.h"

namespace saola::ipc {

// The text of a certificate and its key, read by the supervisor while it may. PEM.
struct KeyPair {
  std::string certificate_pem;
  std::string key_pem;
  std::string key_password;  // empty: not encrypted
  std::string certificate_path;  // for messages
};

// fds: [0] memory file with EdgeStart as JSON (to_json/parse_edge_start), [1] scoreboard,
// [2] the server's metrics, [3] error log, [4] access log if has_access_log, then the listening
// sockets in order of config.listen.
struct EdgeInit {
  bool has_access_log = false;
  std::uint32_t listeners = 0;
  std::uint32_t generation = 0;
};

// What does not fit in a packet. Travels in a memory file.
struct EdgeStart {
  std::string config_toml;   // effective configuration, as `saola config` prints it, secrets included
  std::string config_dir;    // what relative paths in it are relative to
  std::vector<std::vector<KeyPair>> key_pairs;  // per listener, first is the default
};

// fds: [0] wire socket, [1] claim table. The edge sends HELLO at once and dispatches when told
// `ready` (the worker told the supervisor, the supervisor tells the edge).
struct WorkerAdd {
  std::uint32_t worker_id = 0;
  std::uint32_t generation = 0;
  std::uint32_t pid = 0;
  std::uint32_t scoreboard_slot = 0;
  std::string app;
  std::uint32_t slots = 1;        // requests it runs at once: WSGI threads or ASGI concurrency
  bool whole_requests = false;    // WSGI: bodies are complete before dispatch
  // True: gets no request (a probe apart) before the EdgeCommit of its generation.
  bool standby = false;
};
struct WorkerDrain {
  std::uint32_t worker_id = 0;
};
struct WorkerRemove {
  std::uint32_t worker_id = 0;
};
// Drain, Stop and Drained are also spoken between a supervisor and the processes of another version
// (common/control/upgrade_state.h): fields may be added, none changes its meaning.
struct Drain {
  std::uint32_t timeout_ms = 0;
  // Edge: connections that wait for a request may bring one for so long; it is answered, and the
  // connection closed. 0: they are closed at once. Somebody else accepts meanwhile.
  std::uint32_t idle_ms = 0;
};
struct Stop {};
struct ReopenLogs {  // fds: [0] error log, [1] access log if has_access_log (edge only)
  bool has_access_log = false;
};

// fds: [0] memory file with WorkerStart as JSON, [1] wire socket, [2] claim table, [3] scoreboard, [4] error log,
// [5] the app's metrics.
struct WorkerInit {
  std::uint32_t worker_id = 0;
  std::uint32_t generation = 0;
  std::uint32_t scoreboard_slot = 0;
  std::string app;
};
struct WorkerStart {
  std::string config_toml;
  std::string config_dir;
};

struct Ready {
  // Workers only: what the loader found.
  std::string interface;        // "wsgi" or "asgi"
  std::uint32_t slots = 0;
};
struct BootFailed {
  std::string reason;           // one line or a traceback
  bool application = false;     // true: the app could not be loaded (exit code 3 before the first ready)
};
struct WorkerIdle {
  std::uint32_t worker_id = 0;
};
struct WorkerLost {             // the wire connection broke
  std::uint32_t worker_id = 0;
  std::string reason;
};
struct Drained {};

// A new configuration in two phases. EdgePrepare has EdgeInit's fields and descriptors; the edge makes
// everything that the new configuration needs beside what serves, and answers EdgePrepared or
// EdgeRefused. EdgeCommit then puts it in place and dispatches to the workers of that generation, and
// to no older ones, in one step; EdgeAbandon drops it. A second EdgePrepare replaces the first.
struct EdgePrepare {
  std::uint32_t generation = 0;
  bool has_access_log = false;
  std::uint32_t listeners = 0;
};
struct EdgePrepared {
  std::uint32_t generation = 0;
};
struct EdgeRefused {
  std::uint32_t generation = 0;
  std::string reason;  // what is wrong with the certificates, above all
};
struct EdgeCommit {
  std::uint32_t generation = 0;
  // True: older workers go on being dispatched to, each until its WorkerDrain.
  bool rolling = false;
};
struct EdgeAbandon {
  std::uint32_t generation = 0;
};

// The server is not ready any more, and goes on serving: from now on an answer says "Connection:
// close", so that the connections of load balancers leave. None closes without an answer.
struct ReleaseClients {};

// One GET of `path` to this worker alone, before it is committed (ready_path).
struct WorkerProbe {
  std::uint32_t worker_id = 0;
  std::string host;
  std::string path;
};
struct WorkerProbed {
  std::uint32_t worker_id = 0;
  std::uint32_t status = 0;  // 0: no answer
};

// A request of this worker has ignored its time-out for timeout_grace; the worker is to be replaced.
// `reason` names the requests: ids, methods, paths.
struct WorkerOverdue {
  std::uint32_t worker_id = 0;
  std::string reason;
};

// The edge has died; the worker goes on with a new one. What it was answering has no client any more.
// fds: [0] wire socket, [1] claim table.
struct WorkerRewire {};

// The worker writes the Python stacks of all its threads to the error log, without the GIL, under
// `why`, and answers StacksDumped.
struct DumpStacks {
  std::string why;
};
struct StacksDumped {};

// What the edge is doing at this moment; answered by one EdgeReport. Costs nothing unless asked.
struct EdgeInspect {};

// A request that a worker has.
struct RunningRequest {
  std::uint32_t worker_id = 0;
  std::string request_id;
  std::string method;
  std::string path;    // as sent, without the query; at most EdgeReport::kMaxPath bytes
  std::string state;   // "sent" (not begun), "running", "answering"
  double seconds = 0;  // since its first byte
};
struct AppLoad {
  std::string app;
  std::uint32_t queued = 0;
  double longest_wait = 0;      // seconds, of those that wait now
  std::uint32_t running = 0;    // requests that its workers have
  std::uint64_t finished = 0;   // since the edge started, broken-off ones included
  double finished_seconds = 0;  // of those together, from first byte to the end of the answer
};
struct EdgeReport {
  static constexpr std::size_t kMaxRequests = 200;
  static constexpr std::size_t kMaxPath = 200;
  std::uint32_t connections = 0;  // of clients
  std::vector<AppLoad> apps;
  std::vector<RunningRequest> requests;  // the longest-running first; the rest is only counted
};

// preload: the zygote imports the app and forks workers. fds: [0] memory file with WorkerStart as JSON,
// [1] error log, [2] the app's metrics.
struct ZygoteInit {
  std::string app;
};
// One worker, with this process title. fds: [0] the worker's end of its control channel, on which
// WorkerInit waits. If there can be no worker, BootFailed comes through that channel, or its end.
struct ZygoteFork {
  std::string title;
};
// A forked worker, once the supervisor is its parent: who it is.
struct Born {
  std::uint32_t pid = 0;
};

// The process that serves metrics, health and status. fds: [0] memory file with AdminStart as JSON,
// [1] scoreboard, [2] the server's metrics, [3] error log, then `listeners` listening sockets, then the
// metrics of `apps` in that order.
struct AdminInit {
  std::uint32_t listeners = 0;
  std::vector<std::string> apps;
};
struct AdminStart {
  std::string config_toml;
  std::string config_dir;
  std::vector<KeyPair> key_pairs;  // of the address; empty: no TLS
  std::string token;               // empty: none is asked for
};
// Somebody wants to see the status; answered by one AdminStatus with the same number. fds of the
// answer: [0] memory file with status_to_json().
struct AdminAsk {
  std::uint32_t ask = 0;
};
struct AdminStatus {
  std::uint32_t ask = 0;
};

using ControlMessage =
    std::variant<EdgeInit, WorkerAdd, WorkerDrain, WorkerRemove, Drain, Stop, ReopenLogs,
                 WorkerInit, Ready, BootFailed, WorkerIdle, WorkerLost, Drained, EdgePrepare,
                 EdgePrepared, EdgeRefused, EdgeCommit, EdgeAbandon, WorkerProbe, WorkerProbed,
                 WorkerOverdue, WorkerRewire, DumpStacks, StacksDumped, EdgeInspect,
                 EdgeReport, ZygoteInit, ZygoteFork, Born, AdminInit, AdminAsk, AdminStatus,
                 ReleaseClients>;

std::string to_json(const ControlMessage& message);
Result<ControlMessage> parse_control_message(std::string_view text);

// The same report inside of other JSON (control_protocol.h).
std::string report_to_json(const EdgeReport& report);
Result<EdgeReport> parse_edge_report(std::string_view text);

std::string to_json(const EdgeStart& start);
Result<EdgeStart> parse_edge_start(std::string_view text);
std::string to_json(const WorkerStart& start);
Result<WorkerStart> parse_worker_start(std::string_view text);
std::string to_json(const AdminStart& start);
Result<AdminStart> parse_admin_start(std::string_view text);

// A sealed memory file that holds `text`, and back.
Result<UniqueFd> make_memory_file(std::string_view text);
Result<std::string> read_memory_file(const UniqueFd& file);

}  // namespace saola::ipc
