#include "common/control/rollout.h"

#include <algorithm>

namespace saola::control {

bool may_boot_first(const RolloutView& view) {
  return view.ready == 0 && view.booting < view.boot_concurrency;
}

bool may_boot_next(const RolloutView& view) {
  const int most = std::max(view.wanted, view.before) + view.boot_concurrency;
  return view.booting < view.boot_concurrency && view.fresh + view.older_processes < most;
}

int seats_to_give_up(const RolloutView& view) {
  if (view.ready >= view.wanted) return view.older_seats;
  return std::max(0, view.older_seats - std::max(0, view.before - view.ready));
}

}  // namespace saola::control
