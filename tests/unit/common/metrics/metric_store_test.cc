#include "common/metrics/metric_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bit>
#include <csignal>
#include <map>
#include <random>
#include <thread>

#include "common/metrics/instruments.h"

namespace saola::metrics {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

UniqueFd make_file(std::size_t bytes = MetricStore::kLeastBytes) {
  auto file = MetricStore::create_file(bytes);
  SAOLA_CHECK(file.has_value());
  return *std::move(file);
}

MetricStore map_file(const UniqueFd& file) {
  auto store = MetricStore::map(file);
  SAOLA_CHECK(store.has_value());
  return *std::move(store);
}

std::map<std::string, std::vector<std::uint64_t>> contents(const MetricStore& store) {
  std::map<std::string, std::vector<std::uint64_t>> out;
  store.for_each([&](const SeriesView& series) { out[series.key] = series.words; });
  return out;
}

TEST(MetricStore, ASeriesIsFoundAgainByEveryProcessThatMapsIt) {
  const UniqueFd file = make_file();
  {
    MetricStore store = map_file(file);
    store.find_or_add(SeriesKind::kCounter, "requests", 1)[0] = 41;
  }
  MetricStore store = map_file(file);
  store.find_or_add(SeriesKind::kCounter, "requests", 1)[0] += 1;
  auto reader = MetricStore::map_to_read(file);
  ASSERT_TRUE(reader.has_value());
  EXPECT_THAT(contents(*reader)["requests"], ElementsAre(42));
}

TEST(MetricStore, KindKeyAndSizeTellSeriesApart) {
  const UniqueFd file = make_file();
  MetricStore store = map_file(file);
  const auto* counter = store.find_or_add(SeriesKind::kCounter, "a", 1).data();
  EXPECT_NE(counter, store.find_or_add(SeriesKind::kGauge, "a", 1).data());
  EXPECT_NE(counter, store.find_or_add(SeriesKind::kCounter, "b", 1).data());
  EXPECT_NE(counter, store.find_or_add(SeriesKind::kCounter, "a", 2).data());
  EXPECT_EQ(counter, store.find_or_add(SeriesKind::kCounter, "a", 1).data());
}

TEST(MetricStore, WhatDoesNotFitIsCountedAndTheRestStays) {
  const UniqueFd file = make_file();
  MetricStore store = map_file(file);
  std::size_t kept = 0;
  for (int i = 0; i < 10'000; ++i) {
    if (!store.find_or_add(SeriesKind::kCounter, "series " + std::to_string(i), 1).empty()) ++kept;
  }
  EXPECT_GT(kept, 100U);
  EXPECT_EQ(store.refused(), 10'000 - kept);
  EXPECT_EQ(contents(store).size(), kept);
  EXPECT_FALSE(store.find_or_add(SeriesKind::kCounter, "series 0", 1).empty());
  EXPECT_LE(store.used_bytes(), store.total_bytes());
}

TEST(MetricStore, AKeyThatIsTooLongIsRefused) {
  const UniqueFd file = make_file();
  MetricStore store = map_file(file);
  const std::string key(MetricStore::kMostKeyBytes + 1, 'k');
  EXPECT_THAT(store.find_or_add(SeriesKind::kCounter, key, 1), IsEmpty());
  EXPECT_EQ(store.refused(), 1U);
}

TEST(MetricStore, ManyThreadsMakeTheSameSeriesOnceAndLoseNoCount) {
  const UniqueFd file = make_file(1 << 20);
  constexpr int kThreads = 8, kSeries = 500, kRounds = 4;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&] {
        MetricStore store = map_file(file);
        for (int round = 0; round < kRounds; ++round) {
          for (int i = 0; i < kSeries; ++i) {
            Counter(store, "requests", {{"number", std::to_string(i)}}).add();
          }
        }
      });
    }
  }
  const auto all = contents(map_file(file));
  ASSERT_EQ(all.size(), std::size_t{kSeries});
  for (const auto& [key, words] : all) EXPECT_THAT(words, ElementsAre(kThreads * kRounds)) << key;
}

TEST(MetricStore, AWriterKilledAtAnyMomentLeavesAStoreThatWorks) {
  const UniqueFd file = make_file(1 << 20);
  for (int i = 0; i < 20; ++i) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      MetricStore store = map_file(file);
      store.find_or_add(SeriesKind::kCounter, "first of " + std::to_string(i), 1)[0] = 1;
      for (int n = 0;; ++n) {
        Counter(store, std::to_string(i) + "/" + std::to_string(n % 40)).add();
      }
    }
    MetricStore store = map_file(file);
    Word& first = store.find_or_add(SeriesKind::kCounter, "first of " + std::to_string(i), 1)[0];
    while (first == 0) std::this_thread::yield();
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
  }
  MetricStore store = map_file(file);
  for (const auto& [key, words] : contents(store)) EXPECT_EQ(words.size(), 1U) << key;
  EXPECT_FALSE(store.find_or_add(SeriesKind::kCounter, "after all", 1).empty());
}

TEST(MetricStore, ReadersSurviveAnythingInTheMemory) {
  std::mt19937 random(7);  // NOLINT: the same bytes each time
  for (int round = 0; round < 200; ++round) {
    const UniqueFd file = make_file();
    MetricStore store = map_file(file);
    for (int i = 0; i < 50; ++i) {
      store.find_or_add(SeriesKind::kCounter, "s" + std::to_string(i), 1);
    }
    void* memory = ::mmap(nullptr, MetricStore::kLeastBytes, PROT_READ | PROT_WRITE, MAP_SHARED,
                          file.get(), 0);
    ASSERT_NE(memory, MAP_FAILED);
    auto* bytes = static_cast<unsigned char*>(memory);
    // Not the magic number and the size: those make it a store.
    for (int i = 0; i < 4000; ++i) {
      bytes[16 + random() % (MetricStore::kLeastBytes - 16)] = static_cast<unsigned char>(random());
    }
    contents(store);
    store.find_or_add(SeriesKind::kCounter, "another", 1);
    EXPECT_LE(store.used_bytes(), store.total_bytes());
    ::munmap(memory, MetricStore::kLeastBytes);
  }
}

TEST(MetricStore, OtherFilesAreRefused) {
  const UniqueFd empty(::memfd_create("empty", MFD_CLOEXEC));
  EXPECT_FALSE(MetricStore::map(empty).has_value());
  const UniqueFd zeros(::memfd_create("zeros", MFD_CLOEXEC));
  ASSERT_EQ(::ftruncate(zeros.get(), MetricStore::kLeastBytes), 0);
  EXPECT_FALSE(MetricStore::map(zeros).has_value());
}

TEST(Instruments, WithoutAStoreCountNowhere) {
  Counter().add();
  Gauge().set(1);
  TimeHistogram().observe(std::chrono::seconds(1));
  TimeCounter().add(std::chrono::seconds(1));
}

TEST(Instruments, AHistogramCountsAValueOnItsBoundBelowIt) {
  const UniqueFd file = make_file();
  MetricStore store = map_file(file);
  const TimeBounds bounds({1000, 2000});
  const TimeHistogram histogram(store, bounds, "latency");
  for (const int ns : {1, 1000, 1001, 2000, 2001, 1'000'000, -5}) {
    histogram.observe(std::chrono::nanoseconds(ns));
  }
  EXPECT_THAT(contents(store)[encode_key("latency", {{kBoundsLabel, "1000,2000"}})],
              ElementsAre(3, 2, 2, 1 + 1000 + 1001 + 2000 + 2001 + 1'000'000));
}

TEST(Instruments, AGaugeKeepsItsDouble) {
  const UniqueFd file = make_file();
  MetricStore store = map_file(file);
  Gauge(store, "temperature", {{"place", "here"}}).set(-1.5);
  EXPECT_THAT(contents(store)[encode_key("temperature", {{"place", "here"}})],
              ElementsAre(std::bit_cast<std::uint64_t>(-1.5)));
}

}  // namespace
}  // namespace saola::metrics
