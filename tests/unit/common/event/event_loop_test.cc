#include "common/event/event_loop.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <memory>
#include <string>
#include <thread>

#include "common/event/io_watcher.h"
#include "common/event/signal_watcher.h"
#include "common/event/timer.h"

namespace saola {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

// Long enough to be a failure when it passes.
constexpr seconds kLong{20};

struct Ends {
  UniqueFd left;
  UniqueFd right;
};
Ends make_ends() {
  std::array<int, 2> fds{};
  EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds.data()), 0);
  return {UniqueFd(fds[0]), UniqueFd(fds[1])};
}

// Counts calls of a C-style callback.
struct Counter {
  int calls = 0;
  short last = 0;
  static void on_io(void* self, short what) {
    auto& counter = *static_cast<Counter*>(self);
    ++counter.calls;
    counter.last = what;
  }
  static void on_timer(void* self) { ++static_cast<Counter*>(self)->calls; }
};

TEST(EventLoop, RunsPostedTasksOfOtherThreadsUntilItIsStopped) {
  EventLoop loop;
  int ran = 0;
  std::thread other([&loop, &ran] {
    for (int i = 0; i < 100; ++i) loop.post([&ran] { ++ran; });
    loop.post([&loop] { loop.stop(); });
  });
  loop.run();
  other.join();
  EXPECT_EQ(ran, 100);
}

TEST(EventLoop, EndsEachTurnWithItsHooksAndThenFreesWhatWasGivenAway) {
  struct Noted final : Deletable {
    explicit Noted(std::string& to) : log(to) {}
    ~Noted() override { log += "freed "; }
    std::string& log;
  };
  EventLoop loop;
  std::string log;
  loop.at_end_of_turn([&log] { log += "first "; });
  loop.at_end_of_turn([&log] { log += "second "; });
  loop.post([&loop, &log] {
    loop.delete_later(std::make_unique<Noted>(log));
    log += "task ";
  });
  loop.run_once(kLong);
  EXPECT_EQ(log, "task first second freed ");
}

TEST(EventLoop, FreesWhatADestructorGivesAway) {
  struct Nested final : Deletable {
    Nested(EventLoop& in, int& counter, int below) : loop(in), freed(counter), depth(below) {}
    ~Nested() override {
      ++freed;
      if (depth > 0) loop.delete_later(std::make_unique<Nested>(loop, freed, depth - 1));
    }
    EventLoop& loop;
    int& freed;
    int depth;
  };
  EventLoop loop;
  int freed = 0;
  loop.delete_later(std::make_unique<Nested>(loop, freed, 3));
  loop.run_once(milliseconds(0));
  EXPECT_EQ(freed, 4);
}

TEST(EventLoop, TimeStandsStillWithinATurn) {
  EventLoop loop;
  Clock::time_point first;
  Clock::time_point second;
  loop.post([&] {
    first = loop.now();
    const auto until = std::chrono::steady_clock::now() + microseconds(100);
    while (std::chrono::steady_clock::now() < until) {
    }
    second = loop.now();
  });
  loop.run_once(kLong);
  EXPECT_EQ(first, second);
  EXPECT_GT(loop.now(), second) << "the next turn asks anew";
}

TEST(EventLoop, DoesNotBlockWhenWorkIsLeft) {
  EventLoop loop;
  loop.wake_soon();
  const auto begin = std::chrono::steady_clock::now();
  loop.run_once(kLong);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, kLong);
}

TEST(IoWatcher, ReportsReadinessAsLongAsItLasts) {
  EventLoop loop;
  const Ends ends = make_ends();
  Counter counter;
  IoWatcher watcher(loop, ends.left.get(), Counter::on_io, &counter);
  watcher.watch(IoWatcher::kRead);
  ASSERT_EQ(::write(ends.right.get(), "x", 1), 1);
  loop.run_once(kLong);
  loop.run_once(kLong);
  EXPECT_EQ(counter.calls, 2) << "level-triggered";
  EXPECT_EQ(counter.last, IoWatcher::kRead);
}

TEST(IoWatcher, WatchesExactlyWhatItIsTold) {
  EventLoop loop;
  const Ends ends = make_ends();
  Counter counter;
  IoWatcher watcher(loop, ends.left.get(), Counter::on_io, &counter);
  ASSERT_EQ(::write(ends.right.get(), "x", 1), 1);
  watcher.watch(IoWatcher::kWrite);
  loop.run_once(kLong);
  EXPECT_EQ(counter.last, IoWatcher::kWrite);
  watcher.watch(IoWatcher::kRead | IoWatcher::kWrite);
  loop.run_once(kLong);
  EXPECT_EQ(counter.last, IoWatcher::kRead | IoWatcher::kWrite);
  watcher.watch(0);
  const int before = counter.calls;
  loop.run_once(milliseconds(1));
  EXPECT_EQ(counter.calls, before);
}

TEST(Timer, FiresOnceNotBeforeItsTime) {
  EventLoop loop;
  Counter counter;
  Timer timer(loop, Counter::on_timer, &counter);
  const auto begin = std::chrono::steady_clock::now();
  timer.start(milliseconds(20));
  EXPECT_TRUE(timer.active());
  while (counter.calls == 0) loop.run_once(kLong);
  // The loop's clock may lag by the length of a turn, which here is nothing.
  EXPECT_GE(std::chrono::steady_clock::now() - begin, milliseconds(19));
  EXPECT_FALSE(timer.active());
  loop.run_once(milliseconds(30));
  EXPECT_EQ(counter.calls, 1);
}

TEST(Timer, ANewStartReplacesTheOldOneAndCancelForgetsIt) {
  EventLoop loop;
  Counter counter;
  Timer timer(loop, Counter::on_timer, &counter);
  timer.start(kLong);
  timer.start(microseconds(0));
  loop.run_once(kLong);
  EXPECT_EQ(counter.calls, 1);
  timer.start(microseconds(0));
  timer.cancel();
  loop.run_once(milliseconds(5));
  EXPECT_EQ(counter.calls, 1);
}

TEST(LazyTimer, FollowsADeadlineThatMovesLater) {
  EventLoop loop;
  Counter counter;
  LazyTimer timer(loop, Counter::on_timer, &counter);
  const auto begin = std::chrono::steady_clock::now();
  timer.set(begin + milliseconds(10));
  timer.set(begin + milliseconds(40));
  while (counter.calls == 0) loop.run_once(kLong);
  EXPECT_GE(std::chrono::steady_clock::now(), begin + milliseconds(40));
  EXPECT_EQ(timer.deadline(), Clock::time_point::max());
}

TEST(LazyTimer, FollowsADeadlineThatMovesEarlier) {
  EventLoop loop;
  Counter counter;
  LazyTimer timer(loop, Counter::on_timer, &counter);
  const auto begin = std::chrono::steady_clock::now();
  timer.set(begin + kLong);
  timer.set(begin + milliseconds(5));
  while (counter.calls == 0) loop.run_once(kLong);
  EXPECT_LT(std::chrono::steady_clock::now(), begin + kLong);
}

TEST(LazyTimer, ClearedNeverFires) {
  EventLoop loop;
  Counter counter;
  LazyTimer timer(loop, Counter::on_timer, &counter);
  timer.set(std::chrono::steady_clock::now() + milliseconds(5));
  timer.clear();
  loop.run_once(milliseconds(20));
  EXPECT_EQ(counter.calls, 0);
  // And can be used again.
  timer.set(std::chrono::steady_clock::now() + milliseconds(5));
  while (counter.calls == 0) loop.run_once(kLong);
}

TEST(SignalWatcher, ASignalIsACallbackOfTheLoop) {
  EventLoop loop;
  int calls = 0;
  const SignalWatcher watcher(loop, SIGUSR2, [&calls] { ++calls; });
  ASSERT_EQ(std::raise(SIGUSR2), 0);
  EXPECT_EQ(calls, 0) << "not in the handler";
  while (calls == 0) loop.run_once(kLong);
  EXPECT_EQ(calls, 1);
}

}  // namespace
}  // namespace saola
