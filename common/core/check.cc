#include "common/core/check.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "common/core/result.h"

namespace saola {

void check_failed(const char* file, int line, const char* expression) noexcept {
  std::fprintf(stderr, "%s:%d: check failed: %s\n", file, line, expression);
  std::abort();
}

Error system_error(std::string what, int error_number) {
  what += ": ";
  what += std::strerror(error_number);
  return Error{std::move(what), error_number};
}

}  // namespace saola
