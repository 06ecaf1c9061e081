#include "common/config/activation.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <optional>

#include "common/config/shown_text.h"

namespace saola::config {
namespace {

constexpr int kFirst = 3;  // SD_LISTEN_FDS_START
constexpr int kMost = 1024;

std::optional<long> number(std::string_view text) {
  long value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0) return std::nullopt;
  return value;
}

std::string_view variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string_view() : std::string_view(value);
}

}  // namespace

std::vector<ActivatedSocket> activated_sockets(std::string_view listen_pid,
                                               std::string_view listen_fds,
                                               std::string_view listen_fdnames, long own_pid) {
  const auto count = number(listen_fds);
  if (number(listen_pid) != own_pid || !count || *count > kMost) return {};
  std::vector<ActivatedSocket> sockets;
  for (int i = 0; i < *count; ++i) {
    const std::size_t colon = listen_fdnames.find(':');
    const std::string_view name = listen_fdnames.substr(0, colon);
    sockets.push_back({kFirst + i, name.empty() ? "unknown" : std::string(name)});
    listen_fdnames =
        colon == std::string_view::npos ? std::string_view() : listen_fdnames.substr(colon + 1);
  }
  return sockets;
}

std::vector<ActivatedSocket> activated_sockets() {
  return activated_sockets(variable("LISTEN_PID"), variable("LISTEN_FDS"),
                           variable("LISTEN_FDNAMES"), ::getpid());
}

Result<int> find_activated(std::string_view name, const std::vector<ActivatedSocket>& sockets) {
  std::optional<int> found;
  std::vector<std::string> names;
  for (const auto& socket : sockets) {
    names.push_back(shown(socket.name));
    if (socket.name != name) continue;
    if (found) {
      return fail(
          "several activated sockets have that name; give each socket unit its own "
          "FileDescriptorName=");
    }
    found = socket.fd;
  }
  if (found) return *found;
  if (sockets.empty()) return fail("no socket was passed by a service manager (LISTEN_FDS)");
  return fail(fmt::format("no such activated socket; there is {}", fmt::join(names, ", ")));
}

}  // namespace saola::config
