#include "common/cli/status_view.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <limits>
#include <string_view>
#include <vector>

#include "common/cli/terminal_text.h"

namespace saola::cli {
namespace {

using Seconds = std::chrono::duration<double>;

enum class Align : std::uint8_t { kLeft, kRight };

// Columns as wide as their widest cell.
class TextTable {
 public:
  explicit TextTable(const std::vector<std::pair<std::string, Align>>& head) {
    std::vector<std::string> names;
    for (const auto& [name, align] : head) {
      names.push_back(name);
      aligns_.push_back(align);
    }
    rows_.push_back(std::move(names));
  }
  void add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }

  std::vector<std::string> lines() const {
    std::vector<std::size_t> widths(aligns_.size(), 0);
    for (const auto& row : rows_) {
      for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], columns(row[i]));
    }
    std::vector<std::string> lines;
    for (const auto& row : rows_) {
      std::string line;
      for (std::size_t i = 0; i < row.size(); ++i) {
        if (i > 0) line += "  ";
        line += aligns_[i] == Align::kLeft ? left(row[i], widths[i]) : right(row[i], widths[i]);
      }
      line.erase(line.find_last_not_of(' ') + 1);
      lines.push_back(std::move(line));
    }
    return lines;
  }

 private:
  std::vector<Align> aligns_;
  std::vector<std::vector<std::string>> rows_;
};

constexpr Align kL = Align::kLeft;
constexpr Align kR = Align::kRight;

std::string first_line(std::string_view text) {
  return terminal_line(text.substr(0, text.find('\n')));
}

std::string headline(const ipc::Status& status) {
  return fmt::format("saola {}  {}{}  pid {}  up {}  generation {}", terminal_line(status.version),
                     terminal_line(status.state), status.ready ? "" : ", not ready", status.pid,
                     short_time(status.uptime_seconds), status.generation);
}

std::string worker_range(const ipc::AppStatus& app) {
  if (app.workers_max <= app.workers_min) return std::to_string(app.workers);
  return fmt::format("{} of {}-{}", app.workers, app.workers_min, app.workers_max);
}

std::uint64_t in_flight(const ipc::WorkerStatus& worker) {
  return worker.requests_started - std::min(worker.requests_started, worker.requests_finished);
}

std::string memory(const ipc::WorkerStatus& worker) {
  return worker.memory_bytes == 0 ? "-" : short_bytes(static_cast<double>(worker.memory_bytes));
}

const ipc::AppLoad* load_of(const std::optional<ipc::EdgeReport>& report, std::string_view app) {
  if (!report) return nullptr;
  const auto at = std::find_if(report->apps.begin(), report->apps.end(),
                               [app](const auto& load) { return load.app == app; });
  return at == report->apps.end() ? nullptr : &*at;
}

std::vector<std::string> request_lines(const ipc::EdgeReport& report) {
  TextTable table({{"FOR", kR}, {"WORKER", kR}, {"STATE", kL}, {"METHOD", kL}, {"PATH", kL}});
  for (const auto& request : report.requests) {
    table.add({short_time(request.seconds), std::to_string(request.worker_id),
               terminal_line(request.state), terminal_line(request.method),
               terminal_line(request.path)});
  }
  return table.lines();
}

std::vector<std::string> app_lines(const ipc::Status& status) {
  TextTable table({{"APP", kL},
                   {"TARGET", kL},
                   {"KIND", kL},
                   {"WORKERS", kR},
                   {"CRASHES", kR},
                   {"RECYCLED", kL}});
  for (const auto& app : status.apps) {
    std::vector<std::string> reasons;
    for (const auto& [reason, count] : app.recycled) {
      reasons.push_back(fmt::format("{} {}", terminal_line(reason), count));
    }
    std::string recycled = fmt::format("{}", fmt::join(reasons, ", "));
    if (recycled.empty()) recycled = "-";
    if (app.crash_looping) recycled += "  CRASH LOOP: see the error log";
    table.add({terminal_line(app.name), terminal_line(app.target),
               app.interface.empty() ? "-" : terminal_line(app.interface), worker_range(app),
               std::to_string(app.crashes), std::move(recycled)});
  }
  return table.lines();
}

std::vector<std::string> worker_lines(const ipc::Status& status) {
  TextTable table({{"WORKER", kR},
                   {"APP", kL},
                   {"PID", kR},
                   {"GEN", kR},
                   {"STATE", kL},
                   {"AGE", kR},
                   {"REQUESTS", kR},
                   {"RUNNING", kR},
                   {"MEMORY", kR},
                   {"LEAVES BECAUSE OF", kL}});
  for (const auto& worker : status.workers) {
    table.add({std::to_string(worker.id), terminal_line(worker.app), std::to_string(worker.pid),
               std::to_string(worker.generation), terminal_line(worker.state),
               short_time(worker.age_seconds), std::to_string(worker.requests_finished),
               std::to_string(in_flight(worker)), memory(worker),
               terminal_line(worker.leaving_because)});
  }
  return table.lines();
}

void append(std::vector<std::string>& lines, std::vector<std::string> more) {
  lines.emplace_back();
  std::move(more.begin(), more.end(), std::back_inserter(lines));
}

std::vector<std::string> fact_lines(const ipc::Status& status) {
  std::vector<std::string> addresses;
  for (const auto& address : status.addresses) addresses.push_back(terminal_line(address));
  std::vector<std::string> lines;
  lines.push_back("config   " + (status.config_path.empty() ? "(command line)"
                                                            : terminal_line(status.config_path)));
  lines.push_back(fmt::format("listens  {}", fmt::join(addresses, ", ")));
  lines.push_back(status.edge_pid == 0 ? "edge     none now"
                                       : fmt::format("edge     pid {}", status.edge_pid));
  if (status.edge_restarts > 0) lines.back() += fmt::format(", restarts {}", status.edge_restarts);
  if (const auto& reload = status.last_reload) {
    lines.push_back(fmt::format("reload   {} {} ago: {}", reload->succeeded ? "done" : "FAILED",
                                short_time(reload->seconds_ago), first_line(reload->message)));
  }
  return lines;
}

// --- top -----------------------------------------------------------------------------------------

// Per second, or "-": nothing to compare with, or counters that began anew.
std::string rate(std::optional<std::uint64_t> before, std::uint64_t now, double seconds) {
  if (!before || now < *before || seconds <= 0) return "-";
  const double value = static_cast<double>(now - *before) / seconds;
  return fmt::format("{:.{}f}", value, value < 99.95 ? 1 : 0);
}

std::vector<std::string> top_apps(const Sample* before, const Sample& now, double seconds) {
  TextTable table({{"APP", kL},
                   {"WORKERS", kR},
                   {"REQ/S", kR},
                   {"MEAN", kR},
                   {"RUNNING", kR},
                   {"QUEUED", kR},
                   {"WAITED", kR}});
  for (const auto& app : now.status.apps) {
    const auto* load = load_of(now.report, app.name);
    std::vector<std::string> cells{clipped(terminal_line(app.name), 24), worker_range(app)};
    if (load == nullptr) {
      cells.insert(cells.end(), 5, "-");
    } else {
      const auto* old = before == nullptr ? nullptr : load_of(before->report, app.name);
      std::string mean = "-";
      if (old != nullptr && load->finished > old->finished) {
        mean = short_time((load->finished_seconds - old->finished_seconds) /
                          static_cast<double>(load->finished - old->finished));
      }
      cells.push_back(rate(old == nullptr ? std::nullopt : std::optional(old->finished),
                           load->finished, seconds));
      cells.push_back(std::move(mean));
      cells.push_back(std::to_string(load->running));
      cells.push_back(std::to_string(load->queued));
      cells.push_back(load->queued == 0 ? "-" : short_time(load->longest_wait));
    }
    table.add(std::move(cells));
  }
  return table.lines();
}

std::vector<std::string> top_workers(const Sample* before, const Sample& now, double seconds) {
  TextTable table({{"WORKER", kR},
                   {"PID", kR},
                   {"GEN", kR},
                   {"STATE", kL},
                   {"AGE", kR},
                   {"REQ/S", kR},
                   {"RUN", kR},
                   {"MEMORY", kR},
                   {"LEAVES", kL}});
  for (const auto& worker : now.status.workers) {
    std::optional<std::uint64_t> old;
    if (before != nullptr) {
      for (const auto& other : before->status.workers) {
        if (other.id == worker.id && other.pid == worker.pid) old = other.requests_finished;
      }
    }
    table.add({std::to_string(worker.id), std::to_string(worker.pid),
               std::to_string(worker.generation), terminal_line(worker.state),
               short_time(worker.age_seconds), rate(old, worker.requests_finished, seconds),
               std::to_string(in_flight(worker)), memory(worker),
               terminal_line(worker.leaving_because)});
  }
  return table.lines();
}

// The first rows of `lines`; the last of them says what is missing.
void shorten(std::vector<std::string>& lines, std::size_t rows) {
  if (lines.size() <= rows) return;
  const std::size_t hidden = lines.size() - rows + 1;
  lines.resize(rows);
  if (!lines.empty()) lines.back() = fmt::format("... {} more", hidden);
}

}  // namespace

std::string render_status(const ipc::Status& status, const ipc::EdgeReport* report) {
  std::vector<std::string> lines{headline(status)};
  auto facts = fact_lines(status);
  std::move(facts.begin(), facts.end(), std::back_inserter(lines));
  append(lines, app_lines(status));
  append(lines, worker_lines(status));
  if (report != nullptr) {
    lines.emplace_back();
    lines.push_back(fmt::format("{} connections, {} requests run", report->connections,
                                report->requests.size()));
    if (!report->requests.empty()) append(lines, request_lines(*report));
  }
  return fmt::format("{}\n", fmt::join(lines, "\n"));
}

std::string render_top(const Sample* before, const Sample& now, ScreenSize size) {
  const double seconds = before == nullptr ? 0 : Seconds(now.at - before->at).count();
  std::vector<std::string> lines{headline(now.status)};
  lines.push_back(now.report ? fmt::format("{} connections", now.report->connections)
                             : "no edge now");
  if (const auto& reload = now.status.last_reload) {
    lines.back() += fmt::format(", reload {} {} ago", reload->succeeded ? "done" : "FAILED",
                                short_time(reload->seconds_ago));
  }
  append(lines, top_apps(before, now, seconds));
  auto workers = top_workers(before, now, seconds);
  std::vector<std::string> requests;
  if (now.report && !now.report->requests.empty()) requests = request_lines(*now.report);
  // Workers get what they need as long as a third of the screen is left for what they run.
  const std::size_t used = std::min(lines.size() + 2, size.rows);
  const std::size_t left_over = size.rows - used;
  const std::size_t for_requests = std::min(requests.size(), left_over / 3);
  shorten(workers, std::max<std::size_t>(left_over - for_requests, 2));
  append(lines, std::move(workers));
  if (!requests.empty()) append(lines, std::move(requests));
  shorten(lines, size.rows);
  for (auto& line : lines) line = clipped(line, size.columns);
  return fmt::format("{}", fmt::join(lines, "\n"));
}

}  // namespace saola::cli
