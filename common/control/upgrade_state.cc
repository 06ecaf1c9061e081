#include "common/control/upgrade_state.h"

#include <fmt/format.h>

#include <exception>
#include <limits>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <utility>

namespace saola::control {
namespace {

using nlohmann::json;
using State = UpgradeState;

// Paths are bytes; JSON text is UTF-8. Each byte becomes the code point of the same number.
json bytes(const std::string& text) {
  json codes = json::array();
  bool plain = true;
  for (const char c : text) plain = plain && static_cast<unsigned char>(c) < 0x80;
  if (plain) return text;
  for (const char c : text) codes.push_back(static_cast<unsigned char>(c));
  return codes;
}

std::string bytes(const json& object, const char* name) {
  const json& value = object.at(name);
  if (value.is_string()) return value.get<std::string>();
  std::string text;
  for (const auto& code : value) {
    const auto number = code.get<std::uint32_t>();
    if (number > 0xff) throw std::invalid_argument(std::string(name) + ": not a byte");
    text += static_cast<char>(number);
  }
  return text;
}

template <class Number>
Number number(const json& object, const char* name) {
  const json& value = object.at(name);
  if (!value.is_number_integer()) throw std::invalid_argument(std::string(name) + ": no number");
  if (value.is_number_unsigned()) {
    const auto wide = value.get<std::uint64_t>();
    if (wide > static_cast<std::uint64_t>(std::numeric_limits<Number>::max())) {
      throw std::invalid_argument(std::string(name) + ": out of range");
    }
    return static_cast<Number>(wide);
  }
  throw std::invalid_argument(std::string(name) + ": negative");
}

// -1 travels as null: no descriptor.
json descriptor(int fd) { return fd < 0 ? json() : json(fd); }

int optional_descriptor(const json& object, const char* name) {
  return object.at(name).is_null() ? -1 : number<int>(object, name);
}

int descriptor(const json& object, const char* name) {
  const int fd = number<int>(object, name);
  if (fd <= 2) throw std::invalid_argument(std::string(name) + ": not a descriptor of ours");
  return fd;
}

json put(const State::Listener& one) {
  return {{"address", bytes(one.address)},
          {"fd", one.fd},
          {"ipv6_only", one.ipv6_only},
          {"path", bytes(one.path)},
          {"device", one.device},
          {"inode", one.inode},
          {"inherited", descriptor(one.inherited)}};
}
State::Listener listener(const json& in) {
  State::Listener one;
  one.address = bytes(in, "address");
  one.fd = descriptor(in, "fd");
  one.ipv6_only = in.at("ipv6_only").get<bool>();
  one.path = bytes(in, "path");
  one.device = number<std::uint64_t>(in, "device");
  one.inode = number<std::uint64_t>(in, "inode");
  one.inherited = optional_descriptor(in, "inherited");
  return one;
}

json put(const State::Lock& one) { return {{"path", bytes(one.path)}, {"fd", one.fd}}; }
State::Lock lock(const json& in) { return {bytes(in, "path"), descriptor(in, "fd")}; }

json put(const State::Process& one) {
  return {{"pid", one.pid},
          {"control", one.control},
          {"name", bytes(one.name)},
          {"is_edge", one.is_edge},
          {"ready", one.ready}};
}
State::Process process(const json& in) {
  State::Process one;
  one.pid = number<std::int32_t>(in, "pid");
  // 0 and 1 are never children; kill(2) would mean others.
  if (one.pid <= 1) throw std::invalid_argument("pid: not a child");
  one.control = descriptor(in, "control");
  one.name = bytes(in, "name");
  one.is_edge = in.at("is_edge").get<bool>();
  one.ready = in.at("ready").get<bool>();
  return one;
}

json put(const State::Worker& one) {
  return {{"pid", one.pid},
          {"id", one.id},
          {"slot", one.scoreboard_slot},
          {"app", bytes(one.app)},
          {"interface", one.interface},
          {"slots", one.slots}};
}
State::Worker worker(const json& in) {
  State::Worker one;
  one.pid = number<std::int32_t>(in, "pid");
  one.id = number<std::uint32_t>(in, "id");
  one.scoreboard_slot = number<std::uint32_t>(in, "slot");
  one.app = bytes(in, "app");
  one.interface = in.at("interface").get<std::string>();
  one.slots = number<std::uint32_t>(in, "slots");
  return one;
}

template <class All>
json put_all(const All& all) {
  json out = json::array();
  for (const auto& one : all) out.push_back(put(one));
  return out;
}

json put(const State::Service& service) {
  json wanted = json::array();
  for (const auto& [app, count] : service.wanted) {
    wanted.push_back({{"app", bytes(app)}, {"workers", count}});
  }
  return {{"generation", service.generation},   {"config_path", bytes(service.config_path)},
          {"edge_start", service.edge_start},   {"worker_start", service.worker_start},
          {"error_log", service.error_log},     {"access_log", descriptor(service.access_log)},
          {"scoreboard", service.scoreboard},   {"wanted", std::move(wanted)},
          {"workers", put_all(service.workers)}};
}
State::Service service(const json& in) {
  State::Service out;
  out.generation = number<std::uint32_t>(in, "generation");
  out.config_path = bytes(in, "config_path");
  out.edge_start = descriptor(in, "edge_start");
  out.worker_start = descriptor(in, "worker_start");
  out.error_log = descriptor(in, "error_log");
  out.access_log = optional_descriptor(in, "access_log");
  out.scoreboard = descriptor(in, "scoreboard");
  for (const auto& one : in.at("wanted")) {
    out.wanted[bytes(one, "app")] = number<std::uint32_t>(one, "workers");
  }
  for (const auto& one : in.at("workers")) out.workers.push_back(worker(one));
  return out;
}

std::vector<int> all_descriptors(const State& state) {
  const auto& service = state.service;
  std::vector<int> all{state.binary,      service.edge_start, service.worker_start,
                       service.error_log, service.access_log, service.scoreboard};
  for (const auto& one : state.listeners) {
    all.push_back(one.fd);
    all.push_back(one.inherited);
  }
  for (const auto& one : state.locks) all.push_back(one.fd);
  all.push_back(state.metrics);
  for (const auto& [app, fd] : state.app_metrics) all.push_back(fd);
  for (const auto& one : state.processes) all.push_back(one.control);
  std::erase_if(all, [](int fd) { return fd < 0; });
  return all;
}

State read(std::string_view text) {
  const json in = json::parse(text);
  const auto version = number<std::uint32_t>(in, "version");
  if (version != State::kVersion) {
    throw std::invalid_argument(
        fmt::format("version {}; this binary reads version {}", version, State::kVersion));
  }
  State state;
  state.binary_path = bytes(in, "binary_path");
  state.binary = descriptor(in, "binary");
  if (const auto daemon = in.find("daemon"); daemon != in.end()) state.daemon = daemon->get<bool>();
  state.last_generation = number<std::uint32_t>(in, "last_generation");
  state.last_worker_id = number<std::uint32_t>(in, "last_worker_id");
  for (const auto& one : in.at("listeners")) state.listeners.push_back(listener(one));
  for (const auto& one : in.at("locks")) state.locks.push_back(lock(one));
  for (const auto& one : in.at("processes")) state.processes.push_back(process(one));
  // Older binaries leave none.
  if (in.contains("metrics")) state.metrics = optional_descriptor(in, "metrics");
  if (in.contains("app_metrics")) {
    for (const auto& one : in.at("app_metrics")) {
      state.app_metrics[bytes(one, "app")] = descriptor(one, "fd");
    }
  }
  state.failure = bytes(in, "failure");
  for (const auto& one : in.at("descriptors")) {
    if (!one.is_number_unsigned()) throw std::invalid_argument("descriptors: no number");
    state.descriptors.push_back(one.get<int>());
  }
  // Another binary's `service` may be anything.
  if (!state.failure.empty()) state.service = service(in.at("service"));
  return state;
}

}  // namespace

std::string to_json(const UpgradeState& state) {
  json app_metrics = json::array();
  for (const auto& [app, fd] : state.app_metrics) {
    app_metrics.push_back({{"app", bytes(app)}, {"fd", fd}});
  }
  const json out = {{"version", State::kVersion},
                    {"binary_path", bytes(state.binary_path)},
                    {"binary", state.binary},
                    {"daemon", state.daemon},
                    {"last_generation", state.last_generation},
                    {"last_worker_id", state.last_worker_id},
                    {"listeners", put_all(state.listeners)},
                    {"locks", put_all(state.locks)},
                    {"processes", put_all(state.processes)},
                    {"metrics", descriptor(state.metrics)},
                    {"app_metrics", std::move(app_metrics)},
                    {"failure", bytes(state.failure)},
                    {"descriptors", all_descriptors(state)},
                    {"service", put(state.service)}};
  return out.dump();
}

Result<UpgradeState> parse_upgrade_state(std::string_view text) {
  try {
    return read(text);
  } catch (const std::exception& error) {
    return fail(std::string("upgrade state: ") + error.what());
  }
}

Result<std::string> with_failure(std::string_view text, const std::string& failure) {
  try {
    json state = json::parse(text);
    state.at("failure") = bytes(failure);
    return state.dump();
  } catch (const std::exception& error) {
    return fail(std::string("upgrade state: ") + error.what());
  }
}

}  // namespace saola::control
