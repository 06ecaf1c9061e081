// gunicorn's settings, as given, written into a Config: one function for each group that belongs
// together.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/cli/gunicorn_arguments.h"
#include "common/config/config.h"
#include "common/config/config_loader.h"

namespace saola::cli {

// Where functions look settings up and say what is wrong with them.
class DropinSettings {
 public:
  DropinSettings(const GivenSettings& given, const config::EnvironmentView& environment)
      : given_(given), environment_(environment) {}

  bool has(std::string_view name) const { return given_.contains(name); }
  // The text without white space around it, as gunicorn reads it; nothing if it is not given.
  std::optional<std::string> text(std::string_view name) const;
  std::optional<std::int64_t> number(std::string_view name) const;
  std::vector<std::string> list(std::string_view name) const;  // empty if it is not given
  // An environment variable that is set and not empty.
  std::optional<std::string> variable(std::string_view name) const;

  // "--workers: what"
  void warn(std::string_view name, std::string_view what);
  void refuse(std::string_view name, std::string_view what);
  // About something else than a setting.
  void refuse_because(std::string message) { errors.push_back(std::move(message)); }

  std::vector<std::string> warnings;
  std::vector<std::string> errors;

 private:
  const GivenSettings& given_;
  const config::EnvironmentView& environment_;
};

// Who may say who the client is, by default.
inline constexpr std::string_view kLoopbackNetworks = "127.0.0.1,::1";
// A comma-separated list as Listen::trusted. Peers on Unix sockets are trusted, as gunicorn does
// it: the socket's mode says who may connect.
std::vector<std::string> trusted_networks(std::string_view list);

// gunicorn's defaults, with what PORT, WEB_CONCURRENCY and FORWARDED_ALLOW_IPS say. Makes one
// listener, and the one app if there is none.
void apply_defaults(DropinSettings& settings, config::Config& config);

// True for the worker class that gunicorn's --timeout means requests for.
bool is_sync_class(const DropinSettings& settings);

// The others change what their settings are given for and leave the rest as it is.

// -b, --backlog, --umask, TLS, protocols and whom to believe: for every listener.
void apply_listeners(DropinSettings& settings, config::Config& config);
// -w, -k, --threads and what else concerns the application and its workers. There is exactly one
// app.
void apply_app(DropinSettings& settings, config::Config& config);
// Time-outs and sizes.
void apply_limits(DropinSettings& settings, config::Config& config);
void apply_logs(DropinSettings& settings, config::Config& config);
// The process itself.
void apply_server(DropinSettings& settings, config::Config& config);

}  // namespace saola::cli
