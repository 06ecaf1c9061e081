#include "common/config/control_socket_path.h"

#include <charconv>

#include "common/config/paths.h"

namespace saola::config {
namespace {

constexpr std::string_view kSuffix = ".sock";

}  // namespace

ControlSocketPlace control_socket_place(const Config& config, bool is_root,
                                        std::string_view xdg_runtime_dir) {
  using Kind = ControlSocketPlace::Kind;
  const Server& server = config.server;
  if (server.control_socket == "off") return {Kind::kOff, {}, {}};
  if (!server.control_socket.empty()) {
    return {Kind::kPath, resolve_path(config, server.control_socket), {}};
  }
  if (!server.runtime_dir.empty()) {
    return {Kind::kRuntime, resolve_path(config, server.runtime_dir) + "/saola.sock", {}};
  }
  return {Kind::kDirectory, {}, default_control_directory(is_root, xdg_runtime_dir)};
}

std::string default_control_directory(bool is_root, std::string_view xdg_runtime_dir) {
  if (is_root) return "/run/saola";
  // A relative one is to be ignored (XDG Base Directory Specification).
  if (!xdg_runtime_dir.starts_with('/')) return {};
  return std::string(xdg_runtime_dir) + "/saola";
}

std::string control_socket_name(long pid) { return std::to_string(pid) + std::string(kSuffix); }

std::optional<long> control_socket_pid(std::string_view name) {
  if (!name.ends_with(kSuffix)) return std::nullopt;
  name.remove_suffix(kSuffix.size());
  long pid = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), pid);
  if (error != std::errc() || end != name.data() + name.size() || pid <= 0) return std::nullopt;
  return pid;
}

}  // namespace saola::config
