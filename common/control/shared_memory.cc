#include "common/control/shared_memory.h"

#include <fcntl.h>

#include <utility>

namespace saola::control {
namespace {

// The server's own series are a few hundred per app, some 150 bytes each.
constexpr std::size_t kServerMetricsBytes = std::size_t{4} << 20U;

UniqueFd duplicate(int fd) { return UniqueFd(fd < 0 ? -1 : ::fcntl(fd, F_DUPFD_CLOEXEC, 3)); }

bool is_store(const UniqueFd& file) {
  return file && metrics::MetricStore::map_to_read(file).has_value();
}

Result<UniqueFd> store_or_new(UniqueFd file, std::size_t bytes) {
  if (is_store(file)) return file;
  return metrics::MetricStore::create_file(bytes);
}

}  // namespace

SharedMemory::SharedMemory(UniqueFd scoreboard_file, ipc::Scoreboard scoreboard,
                           UniqueFd metrics_file, metrics::MetricStore metrics)
    : scoreboard_file_(std::move(scoreboard_file)),
      scoreboard_(std::move(scoreboard)),
      metrics_file_(std::move(metrics_file)),
      metrics_(std::move(metrics)) {}

Result<SharedMemory> SharedMemory::create() { return adopt({}, false); }

Result<SharedMemory> SharedMemory::adopt(const UpgradeState& state, bool with_scoreboard) {
  Result<UniqueFd> scoreboard_file = with_scoreboard
                                         ? Result<UniqueFd>(duplicate(state.service.scoreboard))
                                         : ipc::Scoreboard::create_file();
  if (!scoreboard_file) return Unexpected{scoreboard_file.error()};
  auto scoreboard = ipc::Scoreboard::map(*scoreboard_file);
  if (!scoreboard) return Unexpected{scoreboard.error()};
  auto metrics_file = store_or_new(duplicate(state.metrics), kServerMetricsBytes);
  if (!metrics_file) return Unexpected{metrics_file.error()};
  auto metrics = metrics::MetricStore::map(*metrics_file);
  if (!metrics) return Unexpected{metrics.error()};
  SharedMemory memory(*std::move(scoreboard_file), *std::move(scoreboard), *std::move(metrics_file),
                      *std::move(metrics));
  for (const auto& [app, fd] : state.app_metrics) {
    UniqueFd file = duplicate(fd);
    if (is_store(file)) memory.app_metrics_[app] = std::move(file);
  }
  return memory;
}

Result<int> SharedMemory::app_metrics(const std::string& app, std::size_t bytes) {
  UniqueFd& file = app_metrics_[app];
  if (!file) {
    auto made = metrics::MetricStore::create_file(bytes);
    if (!made) return Unexpected{made.error()};
    file = *std::move(made);
  }
  return file.get();
}

void SharedMemory::leave_to(UpgradeState& state) const {
  state.service.scoreboard = scoreboard_file_.get();
  state.metrics = metrics_file_.get();
  for (const auto& [app, file] : app_metrics_) {
    if (file) state.app_metrics[app] = file.get();
  }
}

}  // namespace saola::control
