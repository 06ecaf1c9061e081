// A Launcher that starts nothing: the test plays the children, each at its end of the control
// channel.
#pragma once

#include <fcntl.h>

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/control/launcher.h"
#include "common/ipc/control_channel.h"
#include "common/ipc/control_message.h"

namespace saola::test {

class FakeChild {
 public:
  FakeChild(pid_t number, const control::LaunchRequest& request,
            control::Launcher::ExitCallback on_exit)
      : pid(number),
        title(request.title),
        role(request.role),
        on_exit_(std::move(on_exit)),
        channel_(UniqueFd(::fcntl(request.control_fd, F_DUPFD_CLOEXEC, 3))) {}

  void say(const ipc::ControlMessage& message) {
    SAOLA_CHECK(channel_.send(ipc::to_json(message)).has_value());
  }
  void say_text(std::string_view text) { SAOLA_CHECK(channel_.send(text).has_value()); }
  // False: the supervisor does not listen to it any more, or it cannot be sent.
  bool try_to_say(std::string_view text, const std::vector<int>& fds = {}) {
    return channel_.send(text, fds).has_value();
  }

  // The next message from the supervisor and its descriptors; nothing if there is none or it is
  // another.
  template <class Message>
  std::optional<Message> heard(std::vector<UniqueFd>* fds = nullptr) {
    auto received = channel_.receive();
    if (!received || received->again || received->closed) return std::nullopt;
    auto message = ipc::parse_control_message(received->text);
    if (!message || !std::holds_alternative<Message>(*message)) return std::nullopt;
    if (fds != nullptr) *fds = std::move(received->fds);
    return std::get<Message>(*message);
  }
  // The next message of this kind among those that have come; the others are dropped.
  template <class Message>
  std::optional<Message> next_of(std::vector<UniqueFd>* fds = nullptr) {
    for (;;) {
      auto received = channel_.receive();
      if (!received || received->again || received->closed) return std::nullopt;
      auto message = ipc::parse_control_message(received->text);
      if (!message || !std::holds_alternative<Message>(*message)) continue;
      if (fds != nullptr) *fds = std::move(received->fds);
      return std::get<Message>(*message);
    }
  }
  bool heard_nothing() {
    const auto received = channel_.receive();
    return received && received->again;
  }

  // The process ends, as its wait status says.
  void exit(int wait_status) {
    alive = false;
    channel_ = ipc::ControlChannel(UniqueFd());
    on_exit_(wait_status);
  }
  // Its end of the channel closes first, as it does when a real process exits.
  void close_channel() { channel_ = ipc::ControlChannel(UniqueFd()); }

  const pid_t pid;
  const std::string title;
  const std::string role;
  bool alive = true;
  std::vector<int> signals;

 private:
  control::Launcher::ExitCallback on_exit_;
  ipc::ControlChannel channel_;
};

class FakeLauncher final : public control::Launcher {
 public:
  Result<pid_t> launch(const control::LaunchRequest& request, ExitCallback on_exit) override {
    if (fail_next > 0) {
      --fail_next;
      return fail("fork: Resource temporarily unavailable");
    }
    const pid_t pid = 1000 + static_cast<pid_t>(children.size());
    children.push_back(std::make_unique<FakeChild>(pid, request, std::move(on_exit)));
    return pid;
  }
  // The test says who is there to be adopted.
  Result<void> adopt(pid_t pid, ExitCallback on_exit) override {
    if (const auto orphan = orphans.find(pid); orphan != orphans.end()) {
      orphan->second = std::move(on_exit);
      return {};
    }
    const bool known = adoptable.erase(pid) > 0;
    if (!known) return fail("process " + std::to_string(pid) + " is no child of the supervisor");
    adopted[pid] = std::move(on_exit);
    return {};
  }
  void send_signal(pid_t pid, int signal_number) override {
    if (adopted.contains(pid)) signals_to_adopted.emplace_back(pid, signal_number);
    for (auto& child : children) {
      if (child->pid == pid) child->signals.push_back(signal_number);
    }
  }

  // Living children of a role, oldest first.
  std::vector<FakeChild*> alive(std::string_view role) {
    std::vector<FakeChild*> found;
    for (auto& child : children) {
      if (child->alive && child->role == role) found.push_back(child.get());
    }
    return found;
  }

  std::vector<std::unique_ptr<FakeChild>> children;
  std::set<pid_t> adoptable;  // what zygotes are said to have forked
  std::map<pid_t, ExitCallback> adopted;
  std::vector<std::pair<pid_t, int>> signals_to_adopted;
  std::map<pid_t, ExitCallback> orphans;  // left by another image; the test ends them
  int fail_next = 0;
};

}  // namespace saola::test
