#include "common/control/process_memory.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <string_view>

#include "common/core/unique_fd.h"

namespace saola::control {
namespace {

// The first 4 KiB are enough for what is read here; empty if it cannot be read.
std::string read_start(const std::string& path) {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::array<char, 4096> text{};
  const ssize_t got = file ? ::read(file.get(), text.data(), text.size()) : -1;
  return got > 0 ? std::string(text.data(), static_cast<std::size_t>(got)) : std::string();
}

// The number behind any spaces at `at`; 0 if there is none.
std::uint64_t number_at(std::string_view text, std::size_t at) {
  at = text.find_first_not_of(" \t", at);
  if (at == std::string_view::npos) return 0;
  std::uint64_t number = 0;
  std::from_chars(text.data() + at, text.data() + text.size(), number);
  return number;
}

}  // namespace

std::uint64_t resident_memory(pid_t pid, const std::string& proc) {
  const std::string text = read_start(proc + "/" + std::to_string(pid) + "/statm");
  const std::size_t second = text.find(' ');
  if (second == std::string::npos) return 0;
  return number_at(text, second) * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

std::uint64_t used_memory(pid_t pid, const std::string& proc) {
  constexpr std::string_view kPss = "\nPss:";
  const std::string text = read_start(proc + "/" + std::to_string(pid) + "/smaps_rollup");
  const std::size_t line = text.find(kPss);
  if (line == std::string::npos) return resident_memory(pid, proc);
  return number_at(text, line + kPss.size()) * 1024;
}

}  // namespace saola::control
