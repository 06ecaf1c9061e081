#include "common/control/process_launcher.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <optional>

#include "common/ipc/control_channel.h"

namespace saola::control {
namespace {

using testing::HasSubstr;

class ProcessLauncherTest : public testing::Test {
 protected:
  UniqueFd probe() { return UniqueFd(::open(SAOLA_LAUNCHER_PROBE, O_PATH | O_CLOEXEC)); }

  // Starts the probe; `report_` is what it says about itself.
  void launch(Credentials credentials = {}) {
    launcher_.emplace(loop_, probe(), std::move(credentials));
    auto [ours, theirs] = ipc::ControlChannel::make_pair().value();
    theirs_ = theirs.get();
    auto pid = launcher_->launch({"saola: worker app 3", "worker", theirs.get()},
                                 [this](int status) { status_ = status; });
    ASSERT_TRUE(pid) << pid.error().message;
    pid_ = *pid;
    channel_.emplace(std::move(ours));
    theirs.reset();
    while (report_.empty()) {
      auto received = channel_->receive();
      ASSERT_TRUE(received);
      ASSERT_FALSE(received->closed);
      if (!received->again) report_ = received->text;
    }
  }
  int wait_exit() {
    while (!status_) loop_.run_once(std::chrono::milliseconds(100));
    return *status_;
  }
  void TearDown() override {
    if (pid_ > 0 && !status_) {
      launcher_->send_signal(pid_, SIGKILL);
      wait_exit();
    }
  }

  EventLoop loop_;
  std::optional<ProcessLauncher> launcher_;
  std::optional<ipc::ControlChannel> channel_;
  std::optional<int> status_;
  std::string report_;
  pid_t pid_ = -1;
  int theirs_ = -1;
};

TEST_F(ProcessLauncherTest, AChildInheritsItsChannelAndNothingElse) {
  // Descriptors that somebody forgot to mark.
  const UniqueFd forgotten(::open("/dev/null", O_RDONLY));
  launch();
  EXPECT_THAT(report_, HasSubstr("\nfds=0 1 2 " + std::to_string(theirs_) +
                                 " \nown=" + std::to_string(theirs_) + "\n"));
}

TEST_F(ProcessLauncherTest, AChildHasItsTitleItsRoleAndItsOwnGroup) {
  ::setenv("SAOLA_ROLE", "left over", 1);
  launch();
  ::unsetenv("SAOLA_ROLE");
  EXPECT_THAT(report_, HasSubstr("title=saola: worker app 3\nrole=worker\nroles=1\n"));
  EXPECT_THAT(report_, HasSubstr("\nleads_group=1\n"));
}

TEST_F(ProcessLauncherTest, AChildDiesWithTheSupervisorAndGainsNoPrivileges) {
  launch();
  EXPECT_THAT(report_, HasSubstr("\ndeath_signal=" + std::to_string(SIGKILL) + "\n"));
  EXPECT_THAT(report_, HasSubstr("\nno_new_privs=1\n"));
}

TEST_F(ProcessLauncherTest, AChildStartsWithDefaultSignals) {
  std::signal(SIGHUP, SIG_IGN);
  launch();
  std::signal(SIGHUP, SIG_DFL);
  EXPECT_THAT(report_, HasSubstr("\nblocked_or_ignored=0\n"));
}

TEST_F(ProcessLauncherTest, RootsChildrenBecomeTheConfiguredUser) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  launch(Credentials{true, 65534, 65533, {65533, 4242}});
  EXPECT_THAT(report_, HasSubstr("\nuid=65534 65534\ngid=65533 65533\ngroups=2\n"));
  EXPECT_THAT(report_, HasSubstr("\ndeath_signal=" + std::to_string(SIGKILL) + "\n"))
      << "the change of user clears it";
}

TEST_F(ProcessLauncherTest, TellsHowAChildEnded) {
  launch();
  launcher_->send_signal(pid_, SIGUSR1);
  EXPECT_EQ(WTERMSIG(wait_exit()), SIGUSR1);
}

TEST_F(ProcessLauncherTest, AChildEndsWhenItsChannelIsClosed) {
  launch();
  channel_.reset();
  EXPECT_EQ(WEXITSTATUS(wait_exit()), 5);
}

TEST_F(ProcessLauncherTest, ReapsStrangersAsWell) {
  launch();
  const pid_t stranger = ::fork();
  if (stranger == 0) ::_exit(0);
  while (::kill(stranger, 0) == 0) loop_.run_once(std::chrono::milliseconds(20));
  EXPECT_FALSE(status_) << "the probe lives on";
}

// What a zygote leaves behind: a process whose parent has ended.
TEST_F(ProcessLauncherTest, AdoptsTheOrphansOfAChildThatLeavesSome) {
  launch();
  auto ends = ipc::ControlChannel::make_pair().value();
  std::optional<int> zygote;
  const auto started = launcher_->launch({"zygote", "zygote", ends.second.get(), true},
                                         [&](int status) { zygote = status; });
  ASSERT_TRUE(started) << started.error().message;
  int reaper = 0;
  ::prctl(PR_GET_CHILD_SUBREAPER, &reaper);
  EXPECT_EQ(reaper, 1);
  std::array<int, 2> pipe{};
  ASSERT_EQ(::pipe(pipe.data()), 0);
  const pid_t middle = ::fork();
  if (middle == 0) {
    const pid_t orphan = ::fork();
    if (orphan == 0) {
      for (;;) ::pause();
    }
    [[maybe_unused]] const auto told = ::write(pipe[1], &orphan, sizeof orphan);
    ::_exit(0);
  }
  pid_t orphan = -1;
  ASSERT_EQ(::read(pipe[0], &orphan, sizeof orphan), static_cast<ssize_t>(sizeof orphan));
  ASSERT_EQ(::waitpid(middle, nullptr, 0), middle);
  std::optional<int> ended;
  ASSERT_TRUE(launcher_->adopt(orphan, [&](int status) { ended = status; }));
  EXPECT_FALSE(launcher_->adopt(orphan, [](int) { FAIL(); })) << "it has it already";
  launcher_->send_signal(orphan, SIGUSR1);
  launcher_->send_signal(*started, SIGKILL);
  while (!ended || !zygote) loop_.run_once(std::chrono::milliseconds(100));
  EXPECT_EQ(WTERMSIG(*ended), SIGUSR1);
  ::close(pipe[0]);
  ::close(pipe[1]);
}

TEST_F(ProcessLauncherTest, AdoptsNobodyWhoIsNoChild) {
  launch();
  for (const pid_t stranger : {0, -1, 1, ::getpid(), ::getppid(), pid_}) {
    EXPECT_FALSE(launcher_->adopt(stranger, [](int) { FAIL(); })) << stranger;
  }
}

TEST(ProcessLauncher, SaysWhyAChildCannotStart) {
  EventLoop loop;
  ProcessLauncher launcher(loop, UniqueFd(::open("/dev/null", O_PATH | O_CLOEXEC)), {});
  auto ends = ipc::ControlChannel::make_pair().value();
  const auto pid = launcher.launch({"title", "edge", ends.second.get()}, [](int) { FAIL(); });
  ASSERT_FALSE(pid);
  EXPECT_THAT(pid.error().message, HasSubstr("execute the running binary again: "));
}

}  // namespace
}  // namespace saola::control
