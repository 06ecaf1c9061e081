#include "common/ipc/control_message.h"

#include <array>
#include <exception>
#include <limits>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <type_traits>
#include <utility>

namespace saola::ipc {
namespace {

using nlohmann::json;

// A reason that would not fit into a packet, each byte escaped, loses its middle: a traceback's
// first lines say where it comes from, its last ones what happened.
constexpr std::size_t kReasonHead = 2 * 1024;
constexpr std::size_t kReasonTail = 14 * 1024;

std::string shortened(const std::string& reason) {
  if (reason.size() <= kReasonHead + kReasonTail) return reason;
  return reason.substr(0, kReasonHead) + "\n[...]\n" + reason.substr(reason.size() - kReasonTail);
}

// nlohmann-json reports by exception; this is the one border where they end.
template <class Read>
auto guarded(std::string_view what, Read&& read) -> Result<decltype(read())> {
  try {
    return read();
  } catch (const std::exception& error) {
    return fail(std::string(what) + ": " + error.what());
  }
}

// Bytes of any kind as JSON text and back: each byte is the code point of the same number, so keys
// and passwords that are not UTF-8 arrive unchanged.
std::string to_text(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size());
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x80) {
      text += c;
    } else {
      text += static_cast<char>(0xc0 | (byte >> 6));
      text += static_cast<char>(0x80 | (byte & 0x3f));
    }
  }
  return text;
}

std::string from_text(const std::string& text) {
  std::string bytes;
  bytes.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto lead = static_cast<unsigned char>(text[i]);
    if (lead < 0x80) {
      bytes += text[i];
      continue;
    }
    if (lead > 0xc3 || i + 1 == text.size()) throw std::invalid_argument("not a byte string");
    const auto next = static_cast<unsigned char>(text[++i]);
    bytes += static_cast<char>((lead & 0x03) << 6 | (next & 0x3f));
  }
  return bytes;
}

std::uint64_t wide_number(const json& object, const char* name) {
  const json& value = object.at(name);
  if (!value.is_number_unsigned()) throw std::invalid_argument(std::string(name) + ": no number");
  return value.get<std::uint64_t>();
}

std::uint32_t number(const json& object, const char* name) {
  const auto wide = wide_number(object, name);
  if (wide > std::numeric_limits<std::uint32_t>::max()) {
    throw std::invalid_argument(std::string(name) + ": out of range");
  }
  return static_cast<std::uint32_t>(wide);
}

bool boolean(const json& object, const char* name) { return object.at(name).get<bool>(); }
std::string text(const json& object, const char* name) {
  return object.at(name).get<std::string>();
}
std::string bytes(const json& object, const char* name) { return from_text(text(object, name)); }

double real(const json& object, const char* name) { return object.at(name).get<double>(); }

// Texts of an application may hold any bytes; what is not UTF-8 is shown as U+FFFD.
std::string dump(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

// Per message: its name on the wire, its fields out, its fields in.
constexpr std::array kNames = {"edge_init",      "worker_add",    "worker_drain",  "worker_remove",
                               "drain",          "stop",          "reopen_logs",   "worker_init",
                               "ready",          "boot_failed",   "worker_idle",   "worker_lost",
                               "drained",        "edge_prepare",  "edge_prepared", "edge_refused",
                               "edge_commit",    "edge_abandon",  "worker_probe",  "worker_probed",
                               "worker_overdue", "worker_rewire", "dump_stacks",   "stacks_dumped",
                               "edge_inspect",   "edge_report",   "zygote_init",   "zygote_fork",
                               "born",           "admin_init",    "admin_ask",     "admin_status",
                               "release_clients"};
static_assert(kNames.size() == std::variant_size_v<ControlMessage>);

void put(json& out, const EdgeInit& m) {
  out["has_access_log"] = m.has_access_log;
  out["listeners"] = m.listeners;
  out["generation"] = m.generation;
}
void get(const json& in, EdgeInit& m) {
  m.has_access_log = boolean(in, "has_access_log");
  m.listeners = number(in, "listeners");
  m.generation = number(in, "generation");
}

void put(json& out, const WorkerAdd& m) {
  out["worker_id"] = m.worker_id;
  out["generation"] = m.generation;
  out["pid"] = m.pid;
  out["scoreboard_slot"] = m.scoreboard_slot;
  out["app"] = m.app;
  out["slots"] = m.slots;
  out["whole_requests"] = m.whole_requests;
  out["standby"] = m.standby;
}
void get(const json& in, WorkerAdd& m) {
  m.worker_id = number(in, "worker_id");
  m.generation = number(in, "generation");
  m.pid = number(in, "pid");
  m.scoreboard_slot = number(in, "scoreboard_slot");
  m.app = text(in, "app");
  m.slots = number(in, "slots");
  m.whole_requests = boolean(in, "whole_requests");
  m.standby = boolean(in, "standby");
}

void put(json& out, const WorkerDrain& m) { out["worker_id"] = m.worker_id; }
void get(const json& in, WorkerDrain& m) { m.worker_id = number(in, "worker_id"); }
void put(json& out, const WorkerRemove& m) { out["worker_id"] = m.worker_id; }
void get(const json& in, WorkerRemove& m) { m.worker_id = number(in, "worker_id"); }
void put(json& out, const WorkerIdle& m) { out["worker_id"] = m.worker_id; }
void get(const json& in, WorkerIdle& m) { m.worker_id = number(in, "worker_id"); }

void put(json& out, const Drain& m) {
  out["timeout_ms"] = m.timeout_ms;
  out["idle_ms"] = m.idle_ms;
}
void get(const json& in, Drain& m) {
  m.timeout_ms = number(in, "timeout_ms");
  if (in.contains("idle_ms")) m.idle_ms = number(in, "idle_ms");
}

void put(json&, const Stop&) {}
void get(const json&, Stop&) {}
void put(json&, const Drained&) {}
void get(const json&, Drained&) {}

void put(json& out, const ReopenLogs& m) { out["has_access_log"] = m.has_access_log; }
void get(const json& in, ReopenLogs& m) { m.has_access_log = boolean(in, "has_access_log"); }

void put(json& out, const WorkerInit& m) {
  out["worker_id"] = m.worker_id;
  out["generation"] = m.generation;
  out["scoreboard_slot"] = m.scoreboard_slot;
  out["app"] = m.app;
}
void get(const json& in, WorkerInit& m) {
  m.worker_id = number(in, "worker_id");
  m.generation = number(in, "generation");
  m.scoreboard_slot = number(in, "scoreboard_slot");
  m.app = text(in, "app");
}

void put(json& out, const Ready& m) {
  out["interface"] = m.interface;
  out["slots"] = m.slots;
}
void get(const json& in, Ready& m) {
  m.interface = text(in, "interface");
  m.slots = number(in, "slots");
}

void put(json& out, const BootFailed& m) {
  out["reason"] = shortened(m.reason);
  out["application"] = m.application;
}
void get(const json& in, BootFailed& m) {
  m.reason = text(in, "reason");
  m.application = boolean(in, "application");
}

void put(json& out, const WorkerLost& m) {
  out["worker_id"] = m.worker_id;
  out["reason"] = shortened(m.reason);
}
void get(const json& in, WorkerLost& m) {
  m.worker_id = number(in, "worker_id");
  m.reason = text(in, "reason");
}

void put(json& out, const EdgePrepare& m) {
  out["generation"] = m.generation;
  out["has_access_log"] = m.has_access_log;
  out["listeners"] = m.listeners;
}
void get(const json& in, EdgePrepare& m) {
  m.generation = number(in, "generation");
  m.has_access_log = boolean(in, "has_access_log");
  m.listeners = number(in, "listeners");
}

void put(json& out, const EdgePrepared& m) { out["generation"] = m.generation; }
void get(const json& in, EdgePrepared& m) { m.generation = number(in, "generation"); }
void put(json& out, const EdgeCommit& m) {
  out["generation"] = m.generation;
  out["rolling"] = m.rolling;
}
void get(const json& in, EdgeCommit& m) {
  m.generation = number(in, "generation");
  m.rolling = boolean(in, "rolling");
}
void put(json& out, const EdgeAbandon& m) { out["generation"] = m.generation; }
void get(const json& in, EdgeAbandon& m) { m.generation = number(in, "generation"); }

void put(json& out, const EdgeRefused& m) {
  out["generation"] = m.generation;
  out["reason"] = shortened(m.reason);
}
void get(const json& in, EdgeRefused& m) {
  m.generation = number(in, "generation");
  m.reason = text(in, "reason");
}

void put(json& out, const WorkerProbe& m) {
  out["worker_id"] = m.worker_id;
  out["host"] = m.host;
  out["path"] = m.path;
}
void get(const json& in, WorkerProbe& m) {
  m.worker_id = number(in, "worker_id");
  m.host = text(in, "host");
  m.path = text(in, "path");
}

void put(json& out, const WorkerProbed& m) {
  out["worker_id"] = m.worker_id;
  out["status"] = m.status;
}
void get(const json& in, WorkerProbed& m) {
  m.worker_id = number(in, "worker_id");
  m.status = number(in, "status");
}

void put(json& out, const WorkerOverdue& m) {
  out["worker_id"] = m.worker_id;
  out["reason"] = shortened(m.reason);
}
void get(const json& in, WorkerOverdue& m) {
  m.worker_id = number(in, "worker_id");
  m.reason = text(in, "reason");
}

void put(json&, const WorkerRewire&) {}
void get(const json&, WorkerRewire&) {}
void put(json& out, const DumpStacks& m) { out["why"] = shortened(m.why); }
void get(const json& in, DumpStacks& m) { m.why = text(in, "why"); }
void put(json&, const StacksDumped&) {}
void get(const json&, StacksDumped&) {}
void put(json&, const ReleaseClients&) {}
void get(const json&, ReleaseClients&) {}
void put(json&, const EdgeInspect&) {}
void get(const json&, EdgeInspect&) {}

// What a packet takes: so much of apps, then of requests; the rest is left out.
constexpr std::size_t kReportApps = 24 * 1024;
constexpr std::size_t kReportBytes = 112 * 1024;

void put(json& out, const EdgeReport& m) {
  out["connections"] = m.connections;
  std::size_t bytes = 0;
  json& apps = out["apps"] = json::array();
  for (const auto& app : m.apps) {
    json item = {{"app", app.app},           {"queued", app.queued},
                 {"running", app.running},   {"longest_wait", app.longest_wait},
                 {"finished", app.finished}, {"finished_seconds", app.finished_seconds}};
    bytes += dump(item).size();
    if (bytes > kReportApps) break;
    apps.push_back(std::move(item));
  }
  json& requests = out["requests"] = json::array();
  for (const auto& request : m.requests) {
    json item = {{"worker_id", request.worker_id}, {"request_id", request.request_id},
                 {"method", request.method},       {"path", request.path},
                 {"state", request.state},         {"seconds", request.seconds}};
    bytes += dump(item).size();
    if (bytes > kReportBytes) return;
    requests.push_back(std::move(item));
  }
}
void get(const json& in, EdgeReport& m) {
  m.connections = number(in, "connections");
  for (const auto& app : in.at("apps")) {
    m.apps.push_back({text(app, "app"), number(app, "queued"), real(app, "longest_wait"),
                      number(app, "running"), wide_number(app, "finished"),
                      real(app, "finished_seconds")});
  }
  for (const auto& request : in.at("requests")) {
    m.requests.push_back({number(request, "worker_id"), text(request, "request_id"),
                          text(request, "method"), text(request, "path"), text(request, "state"),
                          real(request, "seconds")});
  }
}

void put(json& out, const ZygoteInit& m) { out["app"] = m.app; }
void get(const json& in, ZygoteInit& m) { m.app = text(in, "app"); }
void put(json& out, const ZygoteFork& m) { out["title"] = m.title; }
void get(const json& in, ZygoteFork& m) { m.title = text(in, "title"); }
void put(json& out, const Born& m) { out["pid"] = m.pid; }
void get(const json& in, Born& m) { m.pid = number(in, "pid"); }

void put(json& out, const AdminInit& m) {
  out["listeners"] = m.listeners;
  out["apps"] = m.apps;
}
void get(const json& in, AdminInit& m) {
  m.listeners = number(in, "listeners");
  for (const auto& app : in.at("apps")) m.apps.push_back(app.get<std::string>());
}
void put(json& out, const AdminAsk& m) { out["ask"] = m.ask; }
void get(const json& in, AdminAsk& m) { m.ask = number(in, "ask"); }
void put(json& out, const AdminStatus& m) { out["ask"] = m.ask; }
void get(const json& in, AdminStatus& m) { m.ask = number(in, "ask"); }

template <std::size_t I = 0>
ControlMessage read_named(const std::string& type, const json& in) {
  if constexpr (I == std::variant_size_v<ControlMessage>) {
    throw std::invalid_argument("unknown type '" + type + "'");
  } else {
    if (type != kNames[I]) return read_named<I + 1>(type, in);
    std::variant_alternative_t<I, ControlMessage> message;
    get(in, message);
    return message;
  }
}

json key_pair_to_json(const KeyPair& pair) {
  return {{"certificate_pem", to_text(pair.certificate_pem)},
          {"key_pem", to_text(pair.key_pem)},
          {"key_password", to_text(pair.key_password)},
          {"certificate_path", to_text(pair.certificate_path)}};
}

KeyPair key_pair_from_json(const json& in) {
  return {bytes(in, "certificate_pem"), bytes(in, "key_pem"), bytes(in, "key_password"),
          bytes(in, "certificate_path")};
}

}  // namespace

std::string to_json(const ControlMessage& message) {
  json out = {{"type", kNames[message.index()]}};
  std::visit([&out](const auto& alternative) { put(out, alternative); }, message);
  return dump(out);
}

Result<ControlMessage> parse_control_message(std::string_view text_in) {
  return guarded("control message", [&] {
    const json in = json::parse(text_in);
    return read_named(text(in, "type"), in);
  });
}

std::string report_to_json(const EdgeReport& report) {
  json out;
  put(out, report);
  return dump(out);
}

Result<EdgeReport> parse_edge_report(std::string_view text_in) {
  return guarded("edge report", [&] {
    EdgeReport report;
    get(json::parse(text_in), report);
    return report;
  });
}

std::string to_json(const EdgeStart& start) {
  json listeners = json::array();
  for (const auto& pairs : start.key_pairs) {
    json list = json::array();
    for (const auto& pair : pairs) list.push_back(key_pair_to_json(pair));
    listeners.push_back(std::move(list));
  }
  return dump({{"config_toml", to_text(start.config_toml)},
               {"config_dir", to_text(start.config_dir)},
               {"key_pairs", std::move(listeners)}});
}

Result<EdgeStart> parse_edge_start(std::string_view text_in) {
  return guarded("edge start", [&] {
    const json in = json::parse(text_in);
    EdgeStart start{bytes(in, "config_toml"), bytes(in, "config_dir"), {}};
    for (const auto& list : in.at("key_pairs")) {
      auto& pairs = start.key_pairs.emplace_back();
      for (const auto& pair : list) pairs.push_back(key_pair_from_json(pair));
    }
    return start;
  });
}

std::string to_json(const WorkerStart& start) {
  return dump(
      {{"config_toml", to_text(start.config_toml)}, {"config_dir", to_text(start.config_dir)}});
}

std::string to_json(const AdminStart& start) {
  json pairs = json::array();
  for (const auto& pair : start.key_pairs) pairs.push_back(key_pair_to_json(pair));
  return dump({{"config_toml", to_text(start.config_toml)},
               {"config_dir", to_text(start.config_dir)},
               {"key_pairs", std::move(pairs)},
               {"token", to_text(start.token)}});
}

Result<AdminStart> parse_admin_start(std::string_view text_in) {
  return guarded("admin start", [&] {
    const json in = json::parse(text_in);
    AdminStart start{bytes(in, "config_toml"), bytes(in, "config_dir"), {}, bytes(in, "token")};
    for (const auto& pair : in.at("key_pairs")) {
      start.key_pairs.push_back(key_pair_from_json(pair));
    }
    return start;
  });
}

Result<WorkerStart> parse_worker_start(std::string_view text_in) {
  return guarded("worker start", [&] {
    const json in = json::parse(text_in);
    return WorkerStart{bytes(in, "config_toml"), bytes(in, "config_dir")};
  });
}

}  // namespace saola::ipc
