// AppSeries: how the metrics of an application lie in its MetricStore: as series whose keys say
// what they are. Pure.
//
//   family    a metric that the app has made: name, type, gauge mode, help; the word is when (ns)
//   value     one number of a metric: of all processes together (counters, histograms, summaries),
//             of the process in one place (gauges), or what dead processes left of a gauge
//   place     of a process that has gauges of its own (app_places.h); the word is its pid
//   mark      a word of the machinery
//
// Values of gauges have two words, the second a time stamp; those of other metrics have one. A word
// that is kAbsent has no value yet or no more; so nothing is to be undone if a process is killed
// between the making of a series and its first value. What is there and zero is kept as -0.0.
#pragma once

#include <bit>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "common/metrics/metric_store.h"

namespace saola::metrics {

enum class AppMetricType : std::uint8_t { kCounter, kGauge, kHistogram, kSummary };

// prometheus_client's multiprocess_mode: how the gauges of several processes become one. Those of
// `live` modes go with their process.
struct GaugeMode {
  enum class Fold : std::uint8_t { kAll, kMin, kMax, kSum, kMostRecent };
  Fold fold = Fold::kAll;
  bool live = false;
  bool operator==(const GaugeMode&) const = default;
};

// As prometheus_client writes them: "counter", "livemostrecent".
std::string_view type_name(AppMetricType type);
std::optional<AppMetricType> parse_type(std::string_view text);
std::string mode_name(GaugeMode mode);
std::optional<GaugeMode> parse_mode(std::string_view text);

using Labels = std::vector<std::pair<std::string, std::string>>;

struct AppFamilyKey {
  std::string name;
  AppMetricType type;
  GaugeMode mode;    // of gauges
  std::string help;  // cut at kMostHelpBytes
  bool operator==(const AppFamilyKey&) const = default;
};

// What dead processes left of a gauge has its mode in place of a number.
using Holder = std::variant<std::monostate, std::uint32_t, GaugeMode>;

struct AppValueKey {
  AppMetricType type;
  std::string family;
  std::string sample;  // the family's name with its suffix
  Holder holder;       // of gauges
  Labels labels;       // in any order; a histogram's bucket has its `le`
  bool operator==(const AppValueKey&) const = default;
};

struct AppPlaceKey {
  std::uint32_t number;
  bool operator==(const AppPlaceKey&) const = default;
};

using AppSeriesKey = std::variant<AppFamilyKey, AppValueKey, AppPlaceKey>;

inline constexpr std::size_t kMostHelpBytes = 512;
inline constexpr std::size_t kGaugeWords = 2;
inline constexpr std::uint64_t kAbsent = 0;

inline std::uint64_t bits_of(double value) {
  return std::bit_cast<std::uint64_t>(value == 0 ? -0.0 : value);
}
inline double real_of(std::uint64_t bits) { return std::bit_cast<double>(bits) + 0.0; }

// To what is absent as to 0.
inline void add_real(Word& word, double amount) {
  std::uint64_t bits = word.load(std::memory_order_relaxed);
  while (!word.compare_exchange_weak(bits, bits_of(std::bit_cast<double>(bits) + amount),
                                     std::memory_order_relaxed)) {
  }
}

std::string encode_family(const AppFamilyKey& key);
std::string encode_value(const AppValueKey& key);
std::string encode_place(AppPlaceKey key);
std::string encode_mark(std::string_view name);

// Nothing if it is none of them, a mark included.
std::optional<AppSeriesKey> decode_app_series(std::string_view key);

}  // namespace saola::metrics
