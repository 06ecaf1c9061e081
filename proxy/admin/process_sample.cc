#include "proxy/admin/process_sample.h"

#include <unistd.h>

#include <fstream>
#include <sstream>
#include <string_view>

namespace saola::proxy {

// proc(5): fields 14 and 15 of stat are ticks of user and system time, field 24 is pages of RSS.
// The second field is a name in parentheses with anything inside.
std::optional<ProcessSample> sample_process(pid_t pid, const std::string& proc) {
  std::ifstream file(proc + "/" + std::to_string(pid) + "/stat");
  std::string text;
  if (!std::getline(file, text)) return std::nullopt;
  const std::size_t name_end = text.rfind(')');
  if (name_end == std::string::npos) return std::nullopt;
  std::istringstream fields(text.substr(name_end + 1));
  std::string skipped;
  for (int field = 3; field < 14; ++field) fields >> skipped;
  std::uint64_t user = 0;
  std::uint64_t system = 0;
  fields >> user >> system;
  for (int field = 16; field < 24; ++field) fields >> skipped;
  std::int64_t pages = 0;
  if (!(fields >> pages) || pages < 0) return std::nullopt;
  const auto ticks = static_cast<double>(::sysconf(_SC_CLK_TCK));
  return ProcessSample{
      static_cast<std::uint64_t>(pages) * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)),
      static_cast<double>(user) / ticks, static_cast<double>(system) / ticks};
}

std::optional<std::uint64_t> proportional_memory(pid_t pid, const std::string& proc) {
  std::ifstream file(proc + "/" + std::to_string(pid) + "/smaps_rollup");
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("Pss:")) continue;
    std::istringstream fields(line.substr(4));
    std::uint64_t kib = 0;
    if (fields >> kib) return kib * 1024;
  }
  return std::nullopt;
}

}  // namespace saola::proxy
