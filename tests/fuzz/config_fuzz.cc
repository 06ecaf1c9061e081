// Loading a configuration never crashes, and what was loaded is printed and read back the same.
//
// The input is the file, then parts separated by NUL: "NAME=VALUE" of the environment, or
// "+KEY=VALUE" for a setting over it. Seeds: conf/, tests/corpus/config/.
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "common/config/config_loader.h"
#include "common/core/check.h"

namespace {

using saola::config::Config;
using saola::config::LoadInput;

std::vector<std::string_view> split_at_nul(std::string_view text) {
  std::vector<std::string_view> parts;
  for (;;) {
    const std::size_t end = text.find('\0');
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

void check_problems(const std::vector<saola::config::Problem>& problems) {
  for (const auto& problem : problems) {
    for (const char c : to_string(problem)) SAOLA_CHECK(c >= ' ' && c < 0x7f);
  }
}

void check_round_trip(const Config& config) {
  const std::string printed = print_config(config, true);
  auto again = saola::config::load_config({config.path, printed, {}});
  SAOLA_CHECK(again.has_value());
  SAOLA_CHECK(*again == config);
  SAOLA_CHECK(print_config(*again, true) == printed);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::vector<std::string_view> parts =
      split_at_nul({reinterpret_cast<const char*>(data), size});
  LoadInput input{"/etc/saola/saola.toml", std::string(parts.front()), {}};
  std::vector<std::pair<std::string_view, std::string_view>> overrides;
  for (std::size_t i = 1; i < parts.size(); ++i) {
    const std::size_t equals = parts[i].find('=');
    if (equals == std::string_view::npos) continue;
    const std::string_view name = parts[i].substr(0, equals);
    const std::string_view value = parts[i].substr(equals + 1);
    if (name.starts_with('+')) {
      overrides.emplace_back(name.substr(1), value);
    } else {
      input.environment.emplace_back(name, value);
    }
  }
  auto loaded = saola::config::load_config(input);
  if (!loaded) {
    SAOLA_CHECK(!loaded.error().empty());
    check_problems(loaded.error());
    return 0;
  }
  SAOLA_CHECK(validate(*loaded).empty());
  check_problems(warnings(*loaded));
  check_round_trip(*loaded);
  for (const auto& [key, value] : overrides) {
    if (const auto problem = apply_override(*loaded, key, value)) check_problems({*problem});
  }
  if (validate(*loaded).empty()) check_round_trip(*loaded);
  return 0;
}
