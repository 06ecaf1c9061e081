#include "common/ipc/control_protocol.h"

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

constexpr std::array<std::string_view, std::variant_size_v<ControlRequest>> kNames = {
    "status", "requests", "reload", "scale",   "stop",
    "drain",  "reopen",   "stacks", "recycle", "upgrade"};

std::string dump(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

// --- requests ------------------------------------------------------------------------------------

void put(json&, const StatusRequest&) {}
void put(json&, const RequestsRequest&) {}
void put(json& out, const ReloadRequest& m) { out["rolling"] = m.rolling; }
void put(json& out, const ScaleRequest& m) {
  if (!m.app.empty()) out["app"] = m.app;
  out["workers"] = m.workers;
}
void put(json& out, const StopRequest& m) { out["at_once"] = m.at_once; }
void put(json&, const DrainRequest&) {}
void put(json&, const ReopenRequest&) {}
void put(json& out, const StacksRequest& m) {
  if (m.worker) out["worker"] = *m.worker;
}
void put(json& out, const RecycleRequest& m) { out["worker"] = m.worker; }
void put(json&, const UpgradeRequest&) {}

// Takes the members of a request out one by one: what is left at the end was not known.
class Members {
 public:
  explicit Members(json object) : object_(std::move(object)) {}

  bool flag(const char* name) {
    const json value = take(name);
    if (value.is_null()) return false;
    if (!value.is_boolean()) throw std::invalid_argument(quoted(name) + " must be true or false");
    return value.get<bool>();
  }
  std::string text(const char* name) {
    const json value = take(name);
    if (value.is_null()) return {};
    if (!value.is_string()) throw std::invalid_argument(quoted(name) + " must be a string");
    return value.get<std::string>();
  }
  std::optional<std::uint32_t> number(const char* name, std::uint32_t least, std::uint32_t most) {
    const json value = take(name);
    if (value.is_null()) return std::nullopt;
    if (!value.is_number_unsigned() || value.get<std::uint64_t>() < least ||
        value.get<std::uint64_t>() > most) {
      throw std::invalid_argument(quoted(name) + " must be a number from " + std::to_string(least) +
                                  " to " + std::to_string(most));
    }
    return value.get<std::uint32_t>();
  }
  static std::uint32_t needed(const char* name, std::optional<std::uint32_t> value) {
    if (!value) throw std::invalid_argument(quoted(name) + " is missing");
    return *value;
  }
  void finish() const {
    if (object_.empty()) return;
    throw std::invalid_argument("unknown member " + quoted(object_.begin().key()));
  }

 private:
  static std::string quoted(const std::string& name) { return '"' + name + '"'; }
  json take(const char* name) {
    const auto found = object_.find(name);
    if (found == object_.end()) return nullptr;
    json value = std::move(*found);
    object_.erase(found);
    return value;
  }
  json object_;
};

constexpr auto kAnyNumber = std::numeric_limits<std::uint32_t>::max();
constexpr std::uint32_t kMostWorkers = 1024;  // of [app] workers too

void get(Members&, StatusRequest&) {}
void get(Members&, RequestsRequest&) {}
void get(Members& in, ReloadRequest& m) { m.rolling = in.flag("rolling"); }
void get(Members& in, ScaleRequest& m) {
  m.app = in.text("app");
  m.workers = static_cast<int>(Members::needed("workers", in.number("workers", 1, kMostWorkers)));
}
void get(Members& in, StopRequest& m) { m.at_once = in.flag("at_once"); }
void get(Members&, DrainRequest&) {}
void get(Members&, ReopenRequest&) {}
void get(Members& in, StacksRequest& m) { m.worker = in.number("worker", 0, kAnyNumber); }
void get(Members& in, RecycleRequest& m) {
  m.worker = Members::needed("worker", in.number("worker", 0, kAnyNumber));
}
void get(Members&, UpgradeRequest&) {}

template <std::size_t I = 0>
ControlRequest read_named(const std::string& name, Members& members) {
  if constexpr (I == std::variant_size_v<ControlRequest>) {
    throw std::invalid_argument("unknown command \"" + name + '"');
  } else {
    if (name != kNames[I]) return read_named<I + 1>(name, members);
    std::variant_alternative_t<I, ControlRequest> request;
    get(members, request);
    return request;
  }
}

// --- status --------------------------------------------------------------------------------------

json to_json_value(const WorkerStatus& worker) {
  return {{"id", worker.id},
          {"app", worker.app},
          {"generation", worker.generation},
          {"pid", worker.pid},
          {"state", worker.state},
          {"age_seconds", worker.age_seconds},
          {"requests_started", worker.requests_started},
          {"requests_finished", worker.requests_finished},
          {"memory_bytes", worker.memory_bytes},
          {"leaving_because", worker.leaving_because}};
}

WorkerStatus worker_from(const json& in) {
  WorkerStatus worker;
  in.at("id").get_to(worker.id);
  in.at("app").get_to(worker.app);
  in.at("generation").get_to(worker.generation);
  in.at("pid").get_to(worker.pid);
  in.at("state").get_to(worker.state);
  in.at("age_seconds").get_to(worker.age_seconds);
  in.at("requests_started").get_to(worker.requests_started);
  in.at("requests_finished").get_to(worker.requests_finished);
  in.at("memory_bytes").get_to(worker.memory_bytes);
  in.at("leaving_because").get_to(worker.leaving_because);
  return worker;
}

json to_json_value(const AppStatus& app) {
  json recycled = json::object();
  for (const auto& [reason, count] : app.recycled) recycled[reason] = count;
  return {{"name", app.name},
          {"target", app.target},
          {"interface", app.interface},
          {"workers", app.workers},
          {"workers_min", app.workers_min},
          {"workers_max", app.workers_max},
          {"crashes", app.crashes},
          {"recycled", std::move(recycled)},
          {"crash_looping", app.crash_looping}};
}

AppStatus app_from(const json& in) {
  AppStatus app;
  in.at("name").get_to(app.name);
  in.at("target").get_to(app.target);
  in.at("interface").get_to(app.interface);
  in.at("workers").get_to(app.workers);
  in.at("workers_min").get_to(app.workers_min);
  in.at("workers_max").get_to(app.workers_max);
  in.at("crashes").get_to(app.crashes);
  for (const auto& [reason, count] : in.at("recycled").items()) {
    app.recycled.emplace_back(reason, count.get<std::uint64_t>());
  }
  in.at("crash_looping").get_to(app.crash_looping);
  return app;
}

json to_json_value(const Status& status) {
  json apps = json::array();
  for (const auto& app : status.apps) apps.push_back(to_json_value(app));
  json workers = json::array();
  for (const auto& worker : status.workers) workers.push_back(to_json_value(worker));
  json out = {{"version", status.version},
              {"pid", status.pid},
              {"state", status.state},
              {"ready", status.ready},
              {"uptime_seconds", status.uptime_seconds},
              {"generation", status.generation},
              {"config_path", status.config_path},
              {"addresses", status.addresses},
              {"edge_pid", status.edge_pid},
              {"edge_restarts", status.edge_restarts},
              {"apps", std::move(apps)},
              {"workers", std::move(workers)}};
  if (status.last_reload) {
    out["last_reload"] = {{"seconds_ago", status.last_reload->seconds_ago},
                          {"succeeded", status.last_reload->succeeded},
                          {"message", status.last_reload->message}};
  }
  return out;
}

Status status_from(const json& in) {
  Status status;
  in.at("version").get_to(status.version);
  in.at("pid").get_to(status.pid);
  in.at("state").get_to(status.state);
  in.at("ready").get_to(status.ready);
  in.at("uptime_seconds").get_to(status.uptime_seconds);
  in.at("generation").get_to(status.generation);
  in.at("config_path").get_to(status.config_path);
  in.at("addresses").get_to(status.addresses);
  in.at("edge_pid").get_to(status.edge_pid);
  in.at("edge_restarts").get_to(status.edge_restarts);
  for (const auto& app : in.at("apps")) status.apps.push_back(app_from(app));
  for (const auto& worker : in.at("workers")) status.workers.push_back(worker_from(worker));
  if (const auto found = in.find("last_reload"); found != in.end()) {
    ReloadStatus reload;
    found->at("seconds_ago").get_to(reload.seconds_ago);
    found->at("succeeded").get_to(reload.succeeded);
    found->at("message").get_to(reload.message);
    status.last_reload = std::move(reload);
  }
  return status;
}

Result<ControlAnswer> answer_from(const json& in) {
  if (!in.at("ok").get<bool>()) return fail(in.at("error").get<std::string>());
  ControlAnswer answer;
  answer.message = in.value("message", "");
  if (const auto found = in.find("status"); found != in.end()) {
    answer.status = status_from(*found);
  }
  if (const auto found = in.find("requests"); found != in.end()) {
    auto report = parse_edge_report(dump(*found));
    if (!report) throw std::invalid_argument(report.error().message);
    answer.requests = *std::move(report);
  }
  return answer;
}

}  // namespace

std::string_view command_name(const ControlRequest& request) { return kNames[request.index()]; }

std::string to_line(const ControlRequest& request) {
  json out = {{"command", command_name(request)}};
  std::visit([&out](const auto& alternative) { put(out, alternative); }, request);
  return dump(out);
}

// nlohmann-json reports by exception; they end here and in parse_control_answer().
Result<ControlRequest> parse_control_request(std::string_view line) {
  if (line.size() > kMaxControlRequest) return fail("the request is too long");
  try {
    json in = json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!in.is_object()) return fail("a request is one JSON object in one line");
    Members members(std::move(in));
    const std::string name = members.text("command");
    if (name.empty()) return fail("\"command\" is missing");
    ControlRequest request = read_named(name, members);
    members.finish();
    return request;
  } catch (const std::exception& error) {
    return fail(error.what());
  }
}

std::string to_line(const Result<ControlAnswer>& answer) {
  if (!answer) return dump({{"ok", false}, {"error", answer.error().message}});
  json out = {{"ok", true}};
  if (!answer->message.empty()) out["message"] = answer->message;
  if (answer->status) out["status"] = to_json_value(*answer->status);
  std::string line = dump(out);
  if (answer->requests) {
    line.pop_back();
    line += ",\"requests\":" + report_to_json(*answer->requests) + '}';
  }
  return line;
}

std::string status_to_json(const Status& status, const EdgeReport* requests) {
  std::string line = dump(to_json_value(status));
  if (requests == nullptr) return line;
  line.pop_back();
  return line + ",\"requests\":" + report_to_json(*requests) + '}';
}

Result<Result<ControlAnswer>> parse_control_answer(std::string_view line) {
  try {
    return answer_from(json::parse(line));
  } catch (const std::exception& error) {
    return fail(std::string("the server's answer cannot be understood: ") + error.what());
  }
}

}  // namespace saola::ipc
