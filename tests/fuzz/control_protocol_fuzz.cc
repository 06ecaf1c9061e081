// Lines of the control socket, from either side: never a crash, and what was read is written as a
// line that reads the same.
#include <cstdint>
#include <string_view>

#include "common/core/check.h"
#include "common/ipc/control_protocol.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace saola::ipc;
  const std::string_view line(reinterpret_cast<const char*>(data), size);
  if (const auto request = parse_control_request(line)) {
    const std::string written = to_line(*request);
    SAOLA_CHECK(written.find('\n') == std::string::npos);
    const auto again = parse_control_request(written);
    SAOLA_CHECK(again && to_line(*again) == written);
  } else {
    SAOLA_CHECK(!request.error().message.empty());
  }
  if (const auto answer = parse_control_answer(line)) {
    const std::string written = to_line(*answer);
    SAOLA_CHECK(written.find('\n') == std::string::npos);
    const auto again = parse_control_answer(written);
    SAOLA_CHECK(again && again->has_value() == answer->has_value());
  }
  return 0;
}
