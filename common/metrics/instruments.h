// Counter, Gauge, TimeHistogram: what a hot path holds of a series in a MetricStore. Copies are
// cheap and count into the same series; a default-made one, or one whose series did not fit, counts
// into a word that nobody reads, so that users never ask.
//
// Safe from any thread and process at once. The store outlives them.
#pragma once

#include <array>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string_view>
#include <vector>

#include "common/metrics/metric_store.h"
#include "common/metrics/series_key.h"
#include "common/metrics/time_bounds.h"

namespace saola::metrics {

namespace detail {
inline std::array<Word, MetricStore::kMostWords> nowhere{};
}

class Counter {
 public:
  Counter() = default;
  Counter(MetricStore& store, std::string_view name, std::initializer_list<LabelView> labels = {}) {
    const auto words = store.find_or_add(SeriesKind::kCounter, encode_key(name, labels), 1);
    if (!words.empty()) word_ = words.data();
  }
  void add(std::uint64_t count = 1) const { word_->fetch_add(count, std::memory_order_relaxed); }

 private:
  Word* word_ = detail::nowhere.data();
};

// Time that adds up: CPU, pauses. Shown in seconds.
class TimeCounter {
 public:
  TimeCounter() = default;
  TimeCounter(MetricStore& store, std::string_view name,
              std::initializer_list<LabelView> labels = {}) {
    const auto words = store.find_or_add(SeriesKind::kNanoseconds, encode_key(name, labels), 1);
    if (!words.empty()) word_ = words.data();
  }
  void add(std::chrono::nanoseconds time) const {
    word_->fetch_add(static_cast<std::uint64_t>(time.count()), std::memory_order_relaxed);
  }

 private:
  Word* word_ = detail::nowhere.data();
};

// A value of this moment. One writer at a time: a gauge of a process that has been replaced is set
// anew by its successor.
class Gauge {
 public:
  Gauge() = default;
  Gauge(MetricStore& store, std::string_view name, std::initializer_list<LabelView> labels = {}) {
    const auto words = store.find_or_add(SeriesKind::kGauge, encode_key(name, labels), 1);
    if (!words.empty()) word_ = words.data();
  }
  void set(double value) const {
    word_->store(std::bit_cast<std::uint64_t>(value), std::memory_order_relaxed);
  }

 private:
  Word* word_ = detail::nowhere.data();
};

class TimeHistogram {
 public:
  TimeHistogram() = default;
  // `bounds` outlive it.
  TimeHistogram(MetricStore& store, const TimeBounds& bounds, std::string_view name,
                std::initializer_list<LabelView> labels = {})
      : bounds_(bounds.nanoseconds()) {
    std::vector<LabelView> all(labels);
    all.emplace_back(kBoundsLabel, bounds.text());
    const auto words =
        store.find_or_add(SeriesKind::kTimeHistogram, encode_key(name, all), bounds_.size() + 2);
    if (!words.empty()) words_ = words.data();
  }
  void observe(std::chrono::nanoseconds time) const {
    const auto value = static_cast<std::uint64_t>(time.count() < 0 ? 0 : time.count());
    std::size_t bucket = 0;
    while (bucket < bounds_.size() && value > bounds_[bucket]) ++bucket;
    words_[bucket].fetch_add(1, std::memory_order_relaxed);
    words_[bounds_.size() + 1].fetch_add(value, std::memory_order_relaxed);
  }

 private:
  std::span<const std::uint64_t> bounds_;
  Word* words_ = detail::nowhere.data();
};

}  // namespace saola::metrics
