#include "proxy/admin/families.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "common/metrics/instruments.h"

namespace saola::proxy {
namespace {

using metrics::MetricStore;
using metrics::SeriesKind;
using testing::IsEmpty;
using testing::SizeIs;

class FamiliesTest : public testing::Test {
 protected:
  MetricStore store_ =
      MetricStore::map(MetricStore::create_file(std::size_t{1} << 20U).value()).value();
  Families families_;
};

TEST_F(FamiliesTest, CountersGaugesAndHistogramsOfTheStore) {
  metrics::Counter(store_, "saola_http_retries_total", {{"app", "a"}}).add(3);
  metrics::Gauge(store_, "saola_ready").set(1);
  metrics::TimeCounter(store_, "saola_process_cpu_seconds_total",
                       {{"process", "edge"}, {"mode", "user"}})
      .add(std::chrono::milliseconds(1500));
  const metrics::TimeBounds bounds({1'000'000, 60'000'000'000});
  const metrics::TimeHistogram histogram(store_, bounds, "saola_http_queue_wait_seconds",
                                         {{"app", "a"}});
  histogram.observe(std::chrono::microseconds(1));
  histogram.observe(std::chrono::seconds(61));
  families_.add_store(store_, bounds.text());
  const auto all = families_.take();
  ASSERT_THAT(all, SizeIs(4));
  EXPECT_EQ(all[0].name, "saola_http_queue_wait_seconds");
  const auto& shown = all[0].metric.at(0);
  EXPECT_THAT(shown.label, SizeIs(1)) << "the bounds are no label";
  ASSERT_THAT(shown.histogram.bucket, SizeIs(3));
  EXPECT_EQ(shown.histogram.bucket[1].upper_bound, 60) << "exactly";
  EXPECT_EQ(shown.histogram.bucket[1].cumulative_count, 1U);
  EXPECT_EQ(shown.histogram.bucket[2].cumulative_count, 2U);
  EXPECT_EQ(shown.histogram.sample_count, 2U);
  EXPECT_NEAR(shown.histogram.sample_sum, 61.000001, 1e-9);
  EXPECT_EQ(all[1].metric.at(0).counter.value, 3);
  EXPECT_EQ(all[2].metric.at(0).gauge.value, 1);
  EXPECT_EQ(all[3].metric.at(0).counter.value, 1.5);
}

TEST_F(FamiliesTest, OfTwoHistogramsTheOneWithTodaysBucketsIsShown) {
  const metrics::TimeBounds before({1}), now({2});
  for (const auto* bounds : {&before, &now}) {
    metrics::TimeHistogram(store_, *bounds, "saola_http_queue_wait_seconds", {{"app", "a"}})
        .observe(std::chrono::seconds(1));
  }
  families_.add_store(store_, now.text());
  const auto all = families_.take();
  ASSERT_THAT(all, SizeIs(1));
  ASSERT_THAT(all[0].metric, SizeIs(1));
  EXPECT_EQ(all[0].metric[0].histogram.bucket[0].upper_bound, 2e-9);
}

TEST_F(FamiliesTest, WhatIsNoNumberOrNotOursIsLeftOut) {
  metrics::Gauge(store_, "saola_ready").set(std::numeric_limits<double>::quiet_NaN());
  metrics::Counter(store_, "somebody_elses_total").add();
  store_.find_or_add(SeriesKind::kCounter, "no key at all", 1);
  store_.find_or_add(SeriesKind::kCounter,
                     metrics::encode_key("saola_http_queue_wait_seconds", {{"app", "a"}}), 1);
  store_.find_or_add(SeriesKind::kTimeHistogram, metrics::encode_key("saola_ready", {}), 3);
  store_.find_or_add(SeriesKind::kTimeHistogram,
                     metrics::encode_key("saola_http_app_time_seconds", {{"", "1,2,3"}}),
                     3);  // must be 5
  families_.add_store(store_, "");
  families_.add("unknown", {}, 1);
  EXPECT_THAT(families_.take(), IsEmpty());
}

}  // namespace
}  // namespace saola::proxy
