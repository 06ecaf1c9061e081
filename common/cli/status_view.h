// What `saola status` and `saola top` show: values in, text out.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>

#include "common/ipc/control_message.h"
#include "common/ipc/server_status.h"

namespace saola::cli {

// Several lines, each ends with "\n". `report` adds what runs now.
std::string render_status(const ipc::Status& status, const ipc::EdgeReport* report);

// One look at the server.
struct Sample {
  std::chrono::steady_clock::time_point at;
  ipc::Status status;
  std::optional<ipc::EdgeReport> report;  // none: there is no edge now
};

struct ScreenSize {
  std::size_t columns = 80;
  std::size_t rows = 24;
};

// A screen's worth of lines, each at most `size.columns` wide; none of them ends the screen's last
// row. Rates are differences to `before`; without it they are shown as "-".
std::string render_top(const Sample* before, const Sample& now, ScreenSize size);

}  // namespace saola::cli
