// A supervisor whose children are played by the test. Only the waits of the restart policy's first
// steps and short graces pass in real time.
#pragma once

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/wait.h>

#include <csignal>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/control/supervision.h"
#include "common/ipc/claim_table.h"
#include "tests/support/fake_launcher.h"

namespace saola::control {

class CapturingSink final : public LogSink {
 public:
  void write_line(std::string_view line) override { text += line; }
  std::string text;
};

inline config::Config one_wsgi_app(int workers) {
  config::Config config;
  config.log.error = "-";
  auto& app = config.apps["app"];
  app.target = "app:application";
  app.workers = workers;
  return config;
}

class SupervisionTest : public testing::Test, private SupervisionHost {
 protected:
  using FakeChild = test::FakeChild;

  void begin(config::Config config) {
    supervision_.emplace(loop_, launcher_, log_, report_, memory_, make(1, std::move(config)),
                         static_cast<SupervisionHost&>(*this));
  }
  // Turns of the loop until `condition` holds.
  template <class Condition>
  void turn_until(const Condition& condition, const char* what) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!condition()) {
      ASSERT_LT(std::chrono::steady_clock::now(), deadline) << what << "\n" << sink_.text;
      loop_.run_once(std::chrono::milliseconds(50));
    }
  }
  void settle() {
    for (int i = 0; i < 3; ++i) loop_.run_once(std::chrono::milliseconds(1));
  }
  void await_log(const std::string& text) {
    turn_until([&] { return sink_.text.find(text) != std::string::npos; }, text.c_str());
  }

  FakeChild& edge() { return *launcher_.alive("edge").at(0); }
  FakeChild& worker(std::size_t index) { return *launcher_.alive("worker").at(index); }
  std::size_t workers() { return launcher_.alive("worker").size(); }

  // Waits for the next message of the kind; others before it are dropped.
  template <class Message>
  Message await(FakeChild& child, std::vector<UniqueFd>* fds = nullptr) {
    std::optional<Message> heard;
    turn_until([&] { return (heard = child.next_of<Message>(fds)).has_value(); }, "a message");
    return heard.value_or(Message{});
  }

  // Everything up to the line "ready".
  void begin_serving(config::Config config, const std::string& interface = "wsgi") {
    const auto count = static_cast<std::size_t>(config.apps.at("app").workers);
    begin(std::move(config));
    start();
    ASSERT_TRUE(edge().heard<ipc::EdgeInit>());
    edge().say(ipc::Ready{});
    turn_until([&] { return workers() == count; }, "the workers");
    for (std::size_t i = 0; i < count; ++i) {
      ASSERT_TRUE(worker(i).heard<ipc::WorkerInit>());
      worker(i).say(ipc::Ready{interface, 1});
    }
    await_log("ready after");
    for (std::size_t i = 0; i < count; ++i) ASSERT_TRUE(edge().heard<ipc::WorkerAdd>());
  }
  void start() { supervision_->start(); }

  std::shared_ptr<Generation> make(std::uint32_t number, config::Config config) {
    auto made = std::make_shared<Generation>();
    made->number = number;
    made->config = std::move(config);
    made->logs.error.reset(::open("/dev/null", O_WRONLY | O_CLOEXEC));
    made->edge_start = ipc::make_memory_file("edge start " + std::to_string(number)).value();
    made->worker_start = ipc::make_memory_file("worker start " + std::to_string(number)).value();
    return made;
  }

  // What a reload finds; an error is why it cannot be read.
  Result<config::Config> next_config_ = fail("no reload was expected");
  std::vector<std::uint32_t> committed_;
  bool signals_held_ = false;
  std::string manager_;  // what the service manager was told
  // Upgrades: the answer that is waited for, what was left to the next image, how often the one
  // before was let go.
  std::function<void(Result<UniqueFd>)> asked_;
  std::optional<UpgradeState> left_;
  int taken_over_ = 0;

  EventLoop loop_;
  test::FakeLauncher launcher_;
  CapturingSink sink_;
  Logger log_{sink_, "supervisor", LogLevel::kDebug};
  StartReport report_{log_, true};
  SharedMemory memory_ = SharedMemory::create().value();
  std::optional<Supervision> supervision_;

 private:
  Result<std::shared_ptr<Generation>> next_generation(std::uint32_t number,
                                                      const Generation&) override {
    if (!next_config_) return Unexpected{next_config_.error()};
    return make(number, *next_config_);
  }
  void committed(const Generation& now) override { committed_.push_back(now.number); }
  Result<void> reopen_logs(const Generation&) override { return {}; }
  void serving(const std::string&) override { manager_ += "serving "; }
  void reloading() override { manager_ += "reloading "; }
  void stopping(Clock::duration) override { manager_ += "stopping "; }
  void check_binary(UpgradeState, std::function<void(Result<UniqueFd>)> done) override {
    asked_ = std::move(done);
  }
  void hold_signals(bool hold) override { signals_held_ = hold; }
  Error become(const UniqueFd&, UpgradeState state) override {
    EXPECT_TRUE(signals_held_);
    left_ = std::move(state);
    return Error{"exec: refused by the test"};
  }
  void taken_over() override { ++taken_over_; }
};

}  // namespace saola::control
