// Handover: how one image of the supervisor gives its process to the next by exec, and how the next
// one takes it. The state is text in a memory file (upgrade_state.h), whose number is in the
// environment variable SAOLA_UPGRADE ("check:FD": only say whether you could).
//
// The descriptors that came stay open as they came until settle(), and everything made of them is
// a duplicate: until then the binary that wrote the state can be executed again and finds all of
// it. Signals are blocked from before the exec until accept_signals(); none is lost.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/control/generation.h"
#include "common/control/instance_lock.h"
#include "common/control/upgrade_state.h"
#include "common/core/result.h"

namespace saola::control {

class Handover {
 public:
  static constexpr const char* kVariable = "SAOLA_UPGRADE";
  // What a binary that could take over prints last.
  static const std::string& can_take_over();

  // Removes the variable from the environment. Nothing: an ordinary start.
  static Result<std::optional<Handover>> receive();

  bool only_asked() const { return only_asked_; }
  // The next binary failed: this one wrote the state, and goes on with what it left.
  bool resumes() const { return !state_.failure.empty(); }
  const UpgradeState& state() const { return state_; }

  ListenSockets listeners() const;
  std::vector<InstanceLock> locks() const;
  // resumes() only: the configuration that was served with, whatever the file says now.
  Result<config::Config> config() const;
  Result<std::shared_ptr<Generation>> generation(const Credentials& owner) const;

  // There is no way back any more: closes what came.
  void settle();
  // Not so for a binary that is itself the one that was to come back.
  bool may_give_back() const { return !only_asked_ && !settled_ && !resumes(); }
  // Executes the binary that wrote the state, with the reason why this one could not take over.
  // Returns only if that fails, after having said so on standard error: `exit_code`.
  int give_back(const std::vector<std::string>& arguments, const std::string& failure,
                int exit_code) const;

  static void accept_signals();
  // Blocks every signal; an image that is executed then starts with them blocked.
  static void hold_signals();

 private:
  int file_ = -1;
  bool only_asked_ = false;
  bool settled_ = false;
  std::string text_;
  UpgradeState state_;
};

// Executes `binary` in this process, with `state`. Returns only if that fails; then nothing has
// changed.
Error hand_over(const UniqueFd& binary, const std::vector<std::string>& arguments,
                const UpgradeState& state);

// Where the binary was started from: what `program` (argv[0]) names, directly or in PATH, if that
// is the running one, so that a link that is pointed elsewhere is followed; else the running
// file's own path.
std::string find_installed_binary(const std::string& program);

}  // namespace saola::control
