// Places are taken by processes of their own, which end as workers do: in order or killed.
#include "common/metrics/app_places.h"

#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <functional>
#include <string>
#include <vector>

#include "common/metrics/app_metrics.h"

namespace saola::metrics {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;
using Fold = GaugeMode::Fold;

class AppPlacesTest : public testing::Test {
 protected:
  AppPlacesTest()
      : file_(*MetricStore::create_file(std::size_t{1} << 20U)), store_(*MetricStore::map(file_)) {}

  // A process that has a place, and what it has said of itself.
  struct Process {
    pid_t pid;
    int place;
  };
  // Forks; in the child takes a place, runs `body` and waits to be killed.
  Process start(const std::function<void(std::uint32_t)>& body = [](std::uint32_t) {}) {
    std::array<int, 2> ends{};
    SAOLA_CHECK(::pipe(ends.data()) == 0);
    const pid_t pid = ::fork();
    if (pid == 0) {
      const auto place = take_place(store_, file_);
      const int said = place ? static_cast<int>(*place) : -1;
      if (place) body(*place);
      SAOLA_CHECK(::write(ends[1], &said, sizeof said) == sizeof said);
      for (;;) ::pause();
    }
    int place = -1;
    SAOLA_CHECK(::read(ends[0], &place, sizeof place) == sizeof place);
    ::close(ends[0]);
    ::close(ends[1]);
    return {pid, place};
  }
  static void kill(const Process& process) {
    ::kill(process.pid, SIGKILL);
    ::waitpid(process.pid, nullptr, 0);
  }

  void declare(const std::string& name, GaugeMode mode) {
    const AppFamilyKey key{name, AppMetricType::kGauge, mode, ""};
    store_.find_or_add(SeriesKind::kGauge, encode_family(key), 1)[0] = 1;
  }
  void set(const std::string& name, std::uint32_t place, double value, double stamp = 0) {
    const AppValueKey key{AppMetricType::kGauge, name, name, place, {}};
    const auto words = store_.find_or_add(SeriesKind::kGauge, encode_value(key), kGaugeWords);
    words[0] = bits_of(value);
    words[1] = bits_of(stamp);
  }
  // By name; those with a label `pid` several times.
  std::vector<double> shown(const std::string& name) {
    std::vector<double> values;
    for (const auto& family : aggregate(read_app_series(store_, file_)).families) {
      if (family.name != name) continue;
      for (const auto& sample : family.samples) values.push_back(sample.value);
    }
    return values;
  }

  UniqueFd file_;
  MetricStore store_;
};

TEST_F(AppPlacesTest, PlacesAreTakenAgainWhenTheirProcessIsGone) {
  const Process one = start();
  const Process two = start();
  EXPECT_EQ(one.place, 0);
  EXPECT_EQ(two.place, 1);
  EXPECT_THAT(read_app_series(store_, file_).live, ElementsAre(0, 1));
  kill(one);
  EXPECT_THAT(read_app_series(store_, file_).live, ElementsAre(1));
  const Process three = start();
  EXPECT_EQ(three.place, 0);
  kill(two);
  kill(three);
  EXPECT_THAT(read_app_series(store_, file_).live, IsEmpty());
}

TEST_F(AppPlacesTest, ManyProcessesThatComeAtOnceHaveDifferentPlaces) {
  std::vector<Process> all;
  std::vector<int> places;
  for (int i = 0; i < 20; ++i) all.push_back(start());
  for (const Process& one : all) places.push_back(one.place);
  std::sort(places.begin(), places.end());
  EXPECT_EQ(std::unique(places.begin(), places.end()), places.end());
  for (const Process& one : all) kill(one);
}

TEST_F(AppPlacesTest, AChildOfTheHolderDoesNotKeepThePlace) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe(ends.data()), 0);
  const Process holder = start([&](std::uint32_t) {
    const pid_t child = ::fork();
    if (child == 0) {
      for (;;) ::pause();
    }
    SAOLA_CHECK(::write(ends[1], &child, sizeof child) == sizeof child);
  });
  pid_t child = 0;
  ASSERT_EQ(::read(ends[0], &child, sizeof child), ssize_t{sizeof child});
  kill(holder);
  EXPECT_THAT(read_app_series(store_, file_).live, IsEmpty());
  ::kill(child, SIGKILL);
  ::close(ends[0]);
  ::close(ends[1]);
}

// Two dead, one after the other in the same place, and a living one.
TEST_F(AppPlacesTest, WhatTheDeadLeftIsFolded) {
  const char* names[] = {"all", "min", "max", "sum", "mostrecent"};
  for (const char* name : names) {
    declare(name, *parse_mode(name));
    declare(std::string("live") + name, *parse_mode(std::string("live") + name));
  }
  const auto one_with = [&](double value, double stamp) {
    return start([&, value, stamp](std::uint32_t place) {
      for (const char* name : names) {
        set(name, place, value, stamp);
        set(std::string("live") + name, place, value, stamp);
      }
    });
  };
  kill(one_with(7, 30));
  kill(one_with(-2, 10));
  const Process living = one_with(3, 20);
  EXPECT_EQ(living.place, 0);
  EXPECT_THAT(shown("all"), ElementsAre(3));
  EXPECT_THAT(shown("min"), ElementsAre(-2));
  EXPECT_THAT(shown("max"), ElementsAre(7));
  EXPECT_THAT(shown("sum"), ElementsAre(8));
  EXPECT_THAT(shown("mostrecent"), ElementsAre(7));
  for (const char* name : names) {
    EXPECT_THAT(shown(std::string("live") + name), ElementsAre(3)) << name;
  }
  kill(living);
  EXPECT_THAT(shown("all"), ElementsAre(3)) << "until its place is taken";
  EXPECT_THAT(shown("sum"), ElementsAre(8));
  EXPECT_THAT(shown("livesum"), IsEmpty());
}

TEST_F(AppPlacesTest, RecyclingDoesNotMakeTheStoreGrow) {
  declare("sum", {Fold::kSum, false});
  const auto live_once = [&] { kill(start([&](std::uint32_t place) { set("sum", place, 1); })); };
  live_once();
  live_once();
  const std::size_t used = store_.used_bytes();
  for (int i = 0; i < 20; ++i) live_once();
  EXPECT_EQ(store_.used_bytes(), used);
  EXPECT_THAT(shown("sum"), ElementsAre(22));
}

TEST_F(AppPlacesTest, AProcessSeesItsOwnPlace) {
  const auto place = take_place(store_, file_);
  ASSERT_TRUE(place);
  EXPECT_THAT(read_app_series(store_, file_).live, IsEmpty()) << "that is how record locks are";
  EXPECT_THAT(read_app_series(store_, file_, *place).live, SizeIs(1));
}

TEST_F(AppPlacesTest, WhoeverWasKilledWhileItFoldedStopsNobody) {
  // The mark of the one that was: odd.
  store_.find_or_add(SeriesKind::kCounter, encode_mark("folding"), 1)[0] = 5;
  const Process next = start();
  EXPECT_EQ(next.place, 0);
  EXPECT_THAT(read_app_series(store_, file_).live, ElementsAre(0));
  EXPECT_EQ(store_.find_or_add(SeriesKind::kCounter, encode_mark("folding"), 1)[0] % 2, 0U);
  kill(next);
}

}  // namespace
}  // namespace saola::metrics
