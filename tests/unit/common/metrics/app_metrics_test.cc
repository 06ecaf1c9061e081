// What the metrics of an application look like, from what lies in its store.
#include "common/metrics/app_metrics.h"

#include <gmock/gmock.h>
#include <prometheus/text_serializer.h>

#include <cmath>
#include <limits>
#include <random>

#include "common/metrics/app_prometheus.h"

namespace saola::metrics {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using Fold = GaugeMode::Fold;

// A store's contents, made by hand.
struct Contents : AppContents {
  void family(const std::string& name, AppMetricType type, GaugeMode mode = {},
              std::uint64_t made = 1, const std::string& help = "help") {
    series.push_back({AppFamilyKey{name, type, mode, help}, {made}});
  }
  void value(AppMetricType type, const std::string& name, const std::string& suffix, double number,
             Labels labels = {}) {
    series.push_back(
        {AppValueKey{type, name, name + suffix, {}, std::move(labels)}, {bits_of(number)}});
  }
  void gauge(const std::string& name, Holder holder, double number, double stamp = 0,
             Labels labels = {}) {
    series.push_back({AppValueKey{AppMetricType::kGauge, name, name, holder, std::move(labels)},
                      {bits_of(number), bits_of(stamp)}});
  }
  void place(std::uint32_t number, std::uint64_t pid, bool alive) {
    series.push_back({AppPlaceKey{number}, {pid}});
    if (alive) live.insert(number);
  }
};

// Without the label `app`: that each sample has it is shown below.
std::string text(const AppContents& contents) {
  AppMetrics shown = exposable({{"shop", aggregate(contents)}});
  for (auto& family : shown.families) {
    for (auto& sample : family.samples) {
      EXPECT_EQ(std::erase(sample.labels, std::pair<std::string, std::string>("app", "shop")), 1U);
    }
  }
  return prometheus::TextSerializer().Serialize(to_prometheus(shown));
}

TEST(AppMetrics, ShowsCountersHistogramsAndSummaries) {
  Contents contents;
  contents.family("hits", AppMetricType::kCounter);
  contents.value(AppMetricType::kCounter, "hits", "_total", 3, {{"b", "2"}, {"a", "1"}});
  contents.family("took", AppMetricType::kHistogram);
  contents.value(AppMetricType::kHistogram, "took", "_sum", 7.5);
  contents.value(AppMetricType::kHistogram, "took", "_bucket", 1, {{"le", "+Inf"}});
  contents.value(AppMetricType::kHistogram, "took", "_bucket", 2, {{"le", "1e+06"}});
  contents.value(AppMetricType::kHistogram, "took", "_bucket", 4, {{"le", "0.005"}});
  contents.family("size", AppMetricType::kSummary);
  contents.value(AppMetricType::kSummary, "size", "_count", 2);
  contents.value(AppMetricType::kSummary, "size", "_sum", 10);
  EXPECT_EQ(text(contents),
            "# HELP hits_total help\n"
            "# TYPE hits_total counter\n"
            "hits_total{a=\"1\",b=\"2\"} 3\n"
            "# HELP size help\n"
            "# TYPE size summary\n"
            "size_count 2\n"
            "size_sum 10\n"
            "# HELP took help\n"
            "# TYPE took histogram\n"
            "took_count 7\n"
            "took_sum 7.5\n"
            "took_bucket{le=\"0.005\"} 4\n"
            "took_bucket{le=\"1000000\"} 6\n"
            "took_bucket{le=\"+Inf\"} 7\n");
}

// Place 0 lives, place 1 is dead, and others died before.
std::string gauge_in(GaugeMode mode) {
  Contents contents;
  contents.place(0, 100, true);
  contents.place(1, 101, false);
  contents.family("g", AppMetricType::kGauge, mode);
  contents.gauge("g", 0U, 5, 10);
  contents.gauge("g", 1U, 9, 30);
  if (!mode.live && mode.fold != Fold::kAll) contents.gauge("g", mode, 1, 20);
  const std::string all = text(contents);
  return all.substr(all.find("gauge\n") + 6);
}

TEST(AppMetrics, AGaugesModeSaysHowProcessesBecomeOne) {
  EXPECT_EQ(gauge_in({Fold::kAll, false}), "g{pid=\"100\"} 5\ng{pid=\"101\"} 9\n");
  EXPECT_EQ(gauge_in({Fold::kAll, true}), "g{pid=\"100\"} 5\n");
  EXPECT_EQ(gauge_in({Fold::kMin, false}), "g 1\n");
  EXPECT_EQ(gauge_in({Fold::kMin, true}), "g 5\n");
  EXPECT_EQ(gauge_in({Fold::kMax, false}), "g 9\n");
  EXPECT_EQ(gauge_in({Fold::kMax, true}), "g 5\n");
  EXPECT_EQ(gauge_in({Fold::kSum, false}), "g 15\n");
  EXPECT_EQ(gauge_in({Fold::kSum, true}), "g 5\n");
  EXPECT_EQ(gauge_in({Fold::kMostRecent, false}), "g 9\n");
  EXPECT_EQ(gauge_in({Fold::kMostRecent, true}), "g 5\n");
}

TEST(AppMetrics, WhatIsAbsentIsNotShown) {
  Contents contents;
  contents.family("a", AppMetricType::kCounter);
  contents.value(AppMetricType::kCounter, "a", "_total", 0, {{"l", "zero"}});
  contents.series.push_back(
      {AppValueKey{AppMetricType::kCounter, "a", "a_total", {}, {{"l", "gone"}}}, {kAbsent}});
  EXPECT_THAT(text(contents), HasSubstr("a_total{l=\"zero\"} 0\n"));
  EXPECT_THAT(text(contents), Not(HasSubstr("gone")));
}

TEST(AppMetrics, TheNewestMakingOfANameSaysWhatItIs) {
  Contents contents;
  contents.family("x", AppMetricType::kGauge, {Fold::kSum, false}, 2, "new");
  contents.family("x", AppMetricType::kCounter, {}, 1, "old");
  contents.value(AppMetricType::kCounter, "x", "_total", 3);
  contents.gauge("x", 0U, 4);
  EXPECT_EQ(text(contents), "# HELP x new\n# TYPE x gauge\nx 4\n");
  EXPECT_EQ(aggregate(contents).dropped, 1U);
}

TEST(AppMetrics, LabelsInAnotherOrderAreTheSame) {
  Contents contents;
  contents.family("x", AppMetricType::kCounter);
  contents.value(AppMetricType::kCounter, "x", "_total", 1, {{"a", "1"}, {"b", "2"}});
  contents.value(AppMetricType::kCounter, "x", "_total", 2, {{"b", "2"}, {"a", "1"}});
  EXPECT_THAT(text(contents), HasSubstr("x_total{a=\"1\",b=\"2\"} 3\n"));
}

TEST(AppMetrics, HalfAHistogramIsNone) {
  Contents contents;
  contents.family("h", AppMetricType::kHistogram);
  contents.value(AppMetricType::kHistogram, "h", "_sum", 1);
  contents.value(AppMetricType::kHistogram, "h", "_bucket", 1, {{"le", "1.0"}});
  EXPECT_EQ(text(contents), "");
  EXPECT_EQ(aggregate(contents).dropped, 1U);
}

TEST(AppMetrics, OurNamesAndNamesTwiceAreDroppedAndCounted) {
  Contents contents;
  for (const char* name : {"saola_mine", "a.b", "a_b", "s", "s_count"}) {
    const auto type = std::string(name) == "s" ? AppMetricType::kSummary : AppMetricType::kGauge;
    contents.family(name, type, {Fold::kSum, false});
    if (type == AppMetricType::kGauge) contents.gauge(name, 0U, 1);
  }
  contents.value(AppMetricType::kSummary, "s", "_sum", 1);
  contents.value(AppMetricType::kSummary, "s", "_count", 1);
  const AppMetrics shown = exposable({{"shop", aggregate(contents)}});
  std::vector<std::string> names;
  for (const auto& family : shown.families) names.push_back(family.name);
  EXPECT_THAT(names, ElementsAre("a_b", "s"));
  EXPECT_EQ(shown.dropped, 3U);
}

TEST(AppMetrics, HostileNamesAndTextsDoNotReachTheFormat) {
  Contents contents;
  contents.family("1 x\n{\xC3\xA9", AppMetricType::kGauge, {Fold::kSum, false}, 1,
                  "a\\b\nsaola_fake 1\xFF");
  contents.gauge("1 x\n{\xC3\xA9", 0U, 1, 0, {{"k\"=", "v\"\n\\\xFF"}});
  contents.gauge("1 x\n{\xC3\xA9", 0U, 2, 0, {{"__name__", "saola_fake"}});
  contents.gauge("1 x\n{\xC3\xA9", 0U, 3, 0, {{"twice", "1"}, {"twice", "2"}});
  EXPECT_EQ(text(contents),
            "# HELP __x___ a\\\\b\\nsaola_fake 1\xEF\xBF\xBD\n"
            "# TYPE __x___ gauge\n"
            "__x___{k__=\"v\\\"\\n\\\\\xEF\xBF\xBD\"} 1\n");
  EXPECT_EQ(exposable({{"shop", aggregate(contents)}}).dropped, 2U);
}

TEST(AppMetrics, ApplicationsAreToldApartByALabel) {
  Contents one, two;
  for (Contents* contents : {&one, &two}) {
    contents->family("x", AppMetricType::kCounter);
    contents->value(AppMetricType::kCounter, "x", "_total", 1, {{"app", "own"}});
  }
  two.family("y", AppMetricType::kGauge, {Fold::kSum, false});
  two.gauge("y", 0U, 2);
  one.family("y", AppMetricType::kCounter);
  one.family("y_total", AppMetricType::kGauge, {Fold::kSum, false});
  one.gauge("y_total", 0U, 3);
  one.value(AppMetricType::kCounter, "y", "_total", 4);
  const AppMetrics shown = exposable({{"one", aggregate(one)}, {"two", aggregate(two)}});
  EXPECT_EQ(prometheus::TextSerializer().Serialize(to_prometheus(shown)),
            "# HELP x_total help\n"
            "# TYPE x_total counter\n"
            "x_total{app=\"one\",exported_app=\"own\"} 1\n"
            "x_total{app=\"two\",exported_app=\"own\"} 1\n"
            "# HELP y help\n"
            "# TYPE y gauge\n"
            "y{app=\"two\"} 2\n"
            "# HELP y_total help\n"
            "# TYPE y_total counter\n"
            "y_total{app=\"one\"} 4\n");
  EXPECT_EQ(shown.dropped, 1U);
}

TEST(AppMetrics, CountsThatAreNoneDoNotLeaveTheirRange) {
  EXPECT_EQ(to_count(-1), 0U);
  EXPECT_EQ(to_count(std::numeric_limits<double>::quiet_NaN()), 0U);
  EXPECT_EQ(to_count(std::numeric_limits<double>::infinity()), std::uint64_t{1} << 53U);
}

// Whatever bytes an application brings, each line is one of the format's.
TEST(AppMetrics, RandomContentsGiveLinesOfTheFormat) {
  std::mt19937 random(7);  // NOLINT: the same each time
  const auto noise = [&] {
    std::string out;
    for (auto i = random() % 6; i > 0; --i) out += static_cast<char>(random() % 256);
    return out;
  };
  Contents contents;
  for (int i = 0; i < 300; ++i) {
    const std::string name = noise();
    const auto type = static_cast<AppMetricType>(random() % 4);
    contents.family(name, type, {Fold::kSum, false}, i);
    const char* suffixes[] = {"_total", "", "_bucket", "_sum", "_count"};
    for (const char* suffix : suffixes) {
      Labels labels = {{noise(), noise()}, {"le", random() % 2 != 0 ? "+Inf" : noise()}};
      if (type == AppMetricType::kGauge) {
        contents.gauge(name, 0U, 1, 0, labels);
      } else {
        contents.value(type, name, suffix, -1.5, labels);
      }
    }
  }
  const std::string all = text(contents);
  ASSERT_THAT(all, Not(IsEmpty()));
  std::size_t start = 0;
  while (start < all.size()) {
    const std::size_t end = all.find('\n', start);
    ASSERT_NE(end, std::string::npos);
    const std::string line = all.substr(start, end - start);
    start = end + 1;
    if (line.starts_with("# HELP ") || line.starts_with("# TYPE ")) continue;
    EXPECT_THAT(line,
                testing::ContainsRegex("^[a-zA-Z_:][a-zA-Z0-9_:]*(\\{.*\\})? [-+0-9.eInf]+$"));
    EXPECT_FALSE(line.starts_with("saola_"));
  }
}

TEST(AppSeries, KeysAreReadBackAsTheyWereWritten) {
  const AppFamilyKey family{"f", AppMetricType::kGauge, {Fold::kMostRecent, true}, "help\n"};
  EXPECT_EQ(decode_app_series(encode_family(family)), AppSeriesKey(family));
  for (const Holder& holder : {Holder(7U), Holder(GaugeMode{Fold::kSum, false})}) {
    const AppValueKey value{AppMetricType::kGauge, "f", "f", holder, {{"", "x"}, {"y", ""}}};
    EXPECT_EQ(decode_app_series(encode_value(value)), AppSeriesKey(value));
  }
  const AppValueKey counter{AppMetricType::kCounter, "c", "c_total", {}, {}};
  EXPECT_EQ(decode_app_series(encode_value(counter)), AppSeriesKey(counter));
  EXPECT_EQ(decode_app_series(encode_place({4095})), AppSeriesKey(AppPlaceKey{4095}));
  EXPECT_EQ(decode_app_series(encode_mark("x")), std::nullopt);
  EXPECT_EQ(decode_app_series("nonsense"), std::nullopt);
}

TEST(AppSeries, HelpIsCutBetweenCharacters) {
  AppFamilyKey family{"f", AppMetricType::kCounter, {}, std::string(kMostHelpBytes - 1, 'x')};
  const std::string fits = family.help;
  family.help += "\xC3\xA9";
  const auto read = decode_app_series(encode_family(family));
  EXPECT_EQ(std::get<AppFamilyKey>(*read).help, fits);
}

TEST(AppSeries, ZeroIsNotAbsent) {
  EXPECT_NE(bits_of(0.0), kAbsent);
  Word word = bits_of(2);
  add_real(word, -2);
  EXPECT_NE(word, kAbsent);
  EXPECT_FALSE(std::signbit(real_of(word)));
  word = kAbsent;
  add_real(word, 1.5);
  EXPECT_EQ(real_of(word), 1.5);
}

}  // namespace
}  // namespace saola::metrics
