// SharedMemory: the memory files that children write and that outlive them: what each worker does
// (ipc::Scoreboard), and what was counted (metrics::MetricStore), the server's own and each app's.
// Made by the supervisor, kept over reloads, restarts of children and upgrades.
#pragma once

#include <cstddef>
#include <map>
#include <string>

#include "common/control/upgrade_state.h"
#include "common/core/result.h"
#include "common/core/unique_fd.h"
#include "common/ipc/scoreboard.h"
#include "common/metrics/metric_store.h"

namespace saola::control {

class SharedMemory {
 public:
  static Result<SharedMemory> create();
  // What an earlier image of this process left; `with_scoreboard`: its children are taken on too.
  // What cannot be read (another version's) is made anew.
  static Result<SharedMemory> adopt(const UpgradeState& state, bool with_scoreboard);

  const UniqueFd& scoreboard_file() const { return scoreboard_file_; }
  ipc::Scoreboard& scoreboard() { return scoreboard_; }
  const UniqueFd& metrics_file() const { return metrics_file_; }
  metrics::MetricStore& metrics() { return metrics_; }
  // The store of an app of that name, made when it is first asked for, with so many bytes.
  Result<int> app_metrics(const std::string& app, std::size_t bytes);
  const std::map<std::string, UniqueFd>& app_metrics() const { return app_metrics_; }

  // What the next image is to have.
  void leave_to(UpgradeState& state) const;

 private:
  SharedMemory(UniqueFd scoreboard_file, ipc::Scoreboard scoreboard, UniqueFd metrics_file,
               metrics::MetricStore metrics);

  UniqueFd scoreboard_file_;
  ipc::Scoreboard scoreboard_;
  UniqueFd metrics_file_;
  metrics::MetricStore metrics_;
  std::map<std::string, UniqueFd> app_metrics_;
};

}  // namespace saola::control
