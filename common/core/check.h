// Broken invariants end the process at once: the supervisor starts a clean one
// (docs/architecture.md).
#pragma once

namespace saola {

// Prints "file:line: check failed: expression" to standard error and aborts.
[[noreturn]] void check_failed(const char* file, int line, const char* expression) noexcept;

}  // namespace saola

#define SAOLA_CHECK(condition)                               \
  do {                                                       \
    if (!(condition)) [[unlikely]]                           \
      ::saola::check_failed(__FILE__, __LINE__, #condition); \
  } while (false)

#define SAOLA_UNREACHABLE() ::saola::check_failed(__FILE__, __LINE__, "unreachable")
