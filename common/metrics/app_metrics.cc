#include "common/metrics/app_metrics.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

namespace saola::metrics {
namespace {

constexpr std::string_view kBound = "le";
constexpr std::string_view kProcess = "pid";

// One family's values with the same labels, `le` and `pid` aside.
struct Group {
  bool present = false;
  bool has_sum = false, has_count = false;
  AppSample sample;
  double latest = 0;                       // time stamp of `value`
  std::map<double, AppBucket> buckets;     // not yet cumulative
  std::map<std::uint32_t, double> places;  // mode all
};

struct Family {
  AppFamilyKey key;
  std::uint64_t made = 0;
  std::map<Labels, Group> groups;
};

std::optional<double> parse_bound(const std::string& text) {
  if (text == "+Inf") return std::numeric_limits<double>::infinity();
  double bound = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), bound);
  if (error != std::errc() || end != text.data() + text.size() || std::isnan(bound)) {
    return std::nullopt;
  }
  return bound;
}

std::optional<std::string> take_label(Labels& labels, std::string_view name) {
  const auto found = std::find_if(labels.begin(), labels.end(),
                                  [&](const auto& label) { return label.first == name; });
  if (found == labels.end()) return std::nullopt;
  std::string value = std::move(found->second);
  labels.erase(found);
  return value;
}

bool sort_labels(Labels& labels) {
  std::sort(labels.begin(), labels.end());
  return std::adjacent_find(labels.begin(), labels.end(), [](const auto& one, const auto& other) {
           return one.first == other.first;
         }) == labels.end();
}

class Aggregation {
 public:
  explicit Aggregation(const AppContents& contents) : contents_(contents) {}

  AppMetrics run() {
    for (const AppSeries& series : contents_.series) note(series);
    for (const AppSeries& series : contents_.series) {
      const auto* value = std::get_if<AppValueKey>(&series.key);
      if (value != nullptr && !add(*value, series.words)) ++result_.dropped;
    }
    for (auto& [name, family] : families_) result_.families.push_back(finish(family));
    return std::move(result_);
  }

 private:
  void note(const AppSeries& series) {
    if (const auto* place = std::get_if<AppPlaceKey>(&series.key)) {
      pids_[place->number] = series.words[0];
    } else if (const auto* key = std::get_if<AppFamilyKey>(&series.key)) {
      const auto [found, added] = families_.try_emplace(key->name);
      if (!added && found->second.made > series.words[0]) return;
      found->second.key = *key;
      found->second.made = series.words[0];
    }
  }

  bool add(const AppValueKey& key, const std::vector<std::uint64_t>& words) {
    const auto found = families_.find(key.family);
    if (found == families_.end() || found->second.key.type != key.type) return false;
    Labels labels = key.labels;
    if (!sort_labels(labels)) return false;
    Family& family = found->second;
    const std::string_view suffix =
        std::string_view(key.sample)
            .substr(key.sample.starts_with(key.family) ? key.family.size() : key.sample.size());
    switch (key.type) {
      case AppMetricType::kCounter:
        return suffix == "_total" && add_to(family.groups[labels], words[0], &AppSample::value);
      case AppMetricType::kGauge:
        return key.sample == key.family && add_gauge(family, std::move(labels), key.holder, words);
      case AppMetricType::kHistogram:
        if (suffix == "_bucket") return add_bucket(family, std::move(labels), words[0]);
        return suffix == "_sum" && add_sum(family.groups[labels], words[0]);
      case AppMetricType::kSummary:
        if (suffix == "_sum") return add_sum(family.groups[labels], words[0]);
        return suffix == "_count" && add_count(family.groups[labels], words[0]);
    }
    return false;
  }

  static bool add_to(Group& group, std::uint64_t word, double AppSample::*field) {
    if (word != kAbsent) group.present = true;
    group.sample.*field += real_of(word);
    return true;
  }

  static bool add_sum(Group& group, std::uint64_t word) {
    group.has_sum = true;
    return add_to(group, word, &AppSample::sum);
  }
  static bool add_count(Group& group, std::uint64_t word) {
    group.has_count = true;
    return add_to(group, word, &AppSample::count);
  }

  static bool add_bucket(Family& family, Labels labels, std::uint64_t word) {
    auto le = take_label(labels, kBound);
    const auto bound = le ? parse_bound(*le) : std::nullopt;
    if (!bound) return false;
    Group& group = family.groups[labels];
    if (word != kAbsent) group.present = true;
    group.has_count = group.has_count || std::isinf(*bound);
    const auto [bucket, added] = group.buckets.try_emplace(*bound);
    if (added) bucket->second = {*std::move(le), *bound, 0};
    bucket->second.count += real_of(word);
    return true;
  }

  bool add_gauge(Family& family, Labels labels, const Holder& holder,
                 const std::vector<std::uint64_t>& words) {
    if (words[0] == kAbsent) return true;
    const GaugeMode mode = family.key.mode;
    const auto* place = std::get_if<std::uint32_t>(&holder);
    // What the dead left counts as long as the mode is the one that it was left in.
    if (place == nullptr && std::get<GaugeMode>(holder) != mode) return true;
    if (place != nullptr && mode.live && !contents_.live.contains(*place)) return true;
    if (mode.fold == GaugeMode::Fold::kAll) {
      if (place == nullptr) return false;
      take_label(labels, kProcess);
    }
    Group& group = family.groups[labels];
    const double value = real_of(words[0]);
    const double stamp = real_of(words[1]);
    double& sofar = group.sample.value;
    const bool first = !std::exchange(group.present, true);
    switch (mode.fold) {
      case GaugeMode::Fold::kAll:
        group.places[*place] = value;
        return true;
      case GaugeMode::Fold::kMin:
        if (first || value < sofar) sofar = value;
        return true;
      case GaugeMode::Fold::kMax:
        if (first || value > sofar) sofar = value;
        return true;
      case GaugeMode::Fold::kSum:
        sofar += value;
        return true;
      case GaugeMode::Fold::kMostRecent:
        if (first || stamp > group.latest) {
          sofar = value;
          group.latest = stamp;
        }
        return true;
    }
    return false;
  }

  AppFamily finish(Family& family) {
    AppFamily out{family.key.name, family.key.type, family.key.help, {}};
    for (auto& [labels, group] : family.groups) {
      if (!group.present) continue;
      if (!is_whole(group, family.key.type)) {
        ++result_.dropped;
        continue;
      }
      group.sample.labels = labels;
      if (!group.places.empty()) {
        add_places(out, group);
        continue;
      }
      double count = 0;
      for (auto& [bound, bucket] : group.buckets) {
        count += bucket.count;
        bucket.count = count;
        group.sample.buckets.push_back(std::move(bucket));
      }
      if (family.key.type == AppMetricType::kHistogram) group.sample.count = count;
      out.samples.push_back(std::move(group.sample));
    }
    return out;
  }

  // Where the store was full it may have room for the first values of a metric and not for all.
  static bool is_whole(const Group& group, AppMetricType type) {
    return (type != AppMetricType::kHistogram && type != AppMetricType::kSummary) ||
           (group.has_sum && group.has_count);
  }

  void add_places(AppFamily& out, const Group& group) {
    for (const auto& [place, value] : group.places) {
      AppSample sample = group.sample;
      const auto pid = pids_.find(place);
      sample.labels.emplace_back(kProcess, std::to_string(pid == pids_.end() ? 0 : pid->second));
      std::sort(sample.labels.begin(), sample.labels.end());
      sample.value = value;
      out.samples.push_back(std::move(sample));
    }
  }

  const AppContents& contents_;
  AppMetrics result_;
  std::map<std::string, Family> families_;
  std::map<std::uint32_t, std::uint64_t> pids_;
};

}  // namespace

AppMetrics aggregate(const AppContents& contents) { return Aggregation(contents).run(); }

}  // namespace saola::metrics
