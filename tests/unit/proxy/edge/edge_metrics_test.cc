#include "proxy/edge_metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <map>

#include "common/metrics/catalog.h"

namespace saola::proxy {
namespace {

using metrics::encode_key;
using metrics::MetricStore;
using metrics::TimeBounds;
using testing::ElementsAre;

class EdgeMetricsTest : public testing::Test {
 protected:
  MetricStore store() { return MetricStore::map(file_).value(); }
  EdgeMetrics make() { return {store(), TimeBounds({1'000'000, 10'000'000})}; }

  std::vector<std::uint64_t> words(std::string_view name,
                                   std::initializer_list<metrics::LabelView> labels) {
    std::vector<std::uint64_t> found;
    store().for_each([&, key = encode_key(name, labels)](const metrics::SeriesView& series) {
      if (series.key == key) found = series.words;
    });
    return found;
  }
  double gauge(std::string_view name, std::initializer_list<metrics::LabelView> labels) {
    const auto found = words(name, labels);
    return found.empty() ? -1 : std::bit_cast<double>(found[0]);
  }

  UniqueFd file_ = MetricStore::create_file(std::size_t{1} << 20U).value();
};

RequestFacts get(int status) {
  RequestFacts facts;
  facts.method = ipc::Method::kGet;
  facts.status = status;
  facts.outcome = "ok";
  return facts;
}

TEST_F(EdgeMetricsTest, CountsRequestsByAppMethodAndStatus) {
  EdgeMetrics edge = make();
  edge.app("shop").finished(get(200));
  edge.app("shop").finished(get(200));
  edge.app("shop").finished(get(404));
  RequestFacts odd = get(99);
  odd.method = ipc::Method::kOther;
  edge.without_app().finished(odd);
  const char* name = "saola_http_requests_total";
  EXPECT_THAT(words(name, {{"app", "shop"}, {"method", "GET"}, {"status", "200"}}), ElementsAre(2));
  EXPECT_THAT(words(name, {{"app", "shop"}, {"method", "GET"}, {"status", "404"}}), ElementsAre(1));
  EXPECT_THAT(words(name, {{"app", "-"}, {"method", "other"}, {"status", "other"}}),
              ElementsAre(1));
}

TEST_F(EdgeMetricsTest, ASuccessorGoesOnCounting) {
  for (int i = 0; i < 3; ++i) {
    EdgeMetrics edge = make();
    edge.app("shop").finished(get(200));
  }
  EXPECT_THAT(
      words("saola_http_requests_total", {{"app", "shop"}, {"method", "GET"}, {"status", "200"}}),
      ElementsAre(3));
}

TEST_F(EdgeMetricsTest, TimesGoWhereTheyBelong) {
  EdgeMetrics edge = make();
  RequestFacts facts = get(200);
  facts.total = std::chrono::milliseconds(20);
  facts.first_byte = std::chrono::milliseconds(5);
  edge.app("a").finished(facts);
  const auto histogram = [this](std::string_view name) {
    return words(name, {{"app", "a"}, {metrics::kBoundsLabel, "1000000,10000000"}});
  };
  EXPECT_THAT(histogram("saola_http_request_duration_seconds"), ElementsAre(0, 0, 1, 20'000'000));
  EXPECT_THAT(histogram("saola_http_time_to_first_byte_seconds"), ElementsAre(0, 1, 0, 5'000'000));
  EXPECT_THAT(histogram("saola_http_queue_wait_seconds"), ElementsAre(0, 0, 0, 0));
}

TEST_F(EdgeMetricsTest, OtherBucketsAreAnotherSeries) {
  EdgeMetrics edge = make();
  edge.app("a").finished(get(200));
  edge.use(TimeBounds({7}));
  edge.app("a").finished(get(200));
  EXPECT_THAT(
      words("saola_http_request_duration_seconds", {{"app", "a"}, {metrics::kBoundsLabel, "7"}}),
      ElementsAre(1, 0, 0));
}

TEST_F(EdgeMetricsTest, ReasonsOfFailureAreCountedAndBounded) {
  EdgeMetrics edge = make();
  RequestFacts lost = get(502);
  lost.outcome = "worker_lost";
  edge.app("a").finished(lost);
  EXPECT_THAT(
      words("saola_http_unsuccessful_requests_total", {{"app", "a"}, {"reason", "worker_lost"}}),
      ElementsAre(1));
  for (int i = 0; i < 100; ++i) edge.handshake_failed("reason " + std::to_string(i));
  edge.handshake_failed("reason 1");
  const char* name = "saola_tls_handshake_failures_total";
  EXPECT_THAT(words(name, {{"reason", "reason 1"}}), ElementsAre(2));
  EXPECT_THAT(words(name, {{"reason", "other"}}), ElementsAre(60));
}

TEST_F(EdgeMetricsTest, DroppedLinesAddUpOverNewWriters) {
  EdgeMetrics edge = make();
  EdgeMetrics::Sample sample;
  for (const std::uint64_t dropped : {3, 5, 2}) {  // the third is another writer's
    sample.access_lines_dropped = dropped;
    edge.sample(sample);
  }
  EXPECT_THAT(words("saola_log_lines_dropped_total", {{"process", "edge"}, {"log", "access"}}),
              ElementsAre(7));
}

TEST_F(EdgeMetricsTest, ACertificateOutOfUseIsNoNumber) {
  EdgeMetrics edge = make();
  const std::chrono::system_clock::time_point when{std::chrono::seconds(1'900'000'000)};
  edge.certificates({{":443", "a.pem", when}, {":443", "b.pem", when}});
  edge.certificates({{":443", "b.pem", when}});
  const char* name = "saola_tls_certificate_expiry_timestamp_seconds";
  EXPECT_TRUE(std::isnan(gauge(name, {{"listener", ":443"}, {"certificate", "a.pem"}})));
  EXPECT_EQ(gauge(name, {{"listener", ":443"}, {"certificate", "b.pem"}}), 1.9e9);
}

TEST_F(EdgeMetricsTest, EverythingItCountsIsInTheCatalog) {
  EdgeMetrics edge = make();
  RequestFacts facts = get(200);
  facts.outcome = "client_gone";
  edge.app("a").finished(facts);
  edge.accepted(":443");
  edge.shook_hands("TLSv1.3", "TLS_AES_128_GCM_SHA256", true);
  edge.handshake_failed("no shared cipher");
  edge.certificates({{":443", "a.pem", {}}});
  int seen = 0;
  store().for_each([&](const metrics::SeriesView& series) {
    const auto key = metrics::decode_key(series.key);
    ASSERT_TRUE(key);
    const auto* described = metrics::describe(key->name);
    ASSERT_NE(described, nullptr) << key->name;
    std::string labels;
    for (const auto& [label, value] : key->labels) {
      if (!label.empty()) labels += (labels.empty() ? "" : ", ") + label;
    }
    EXPECT_EQ(labels, described->labels) << key->name;
    ++seen;
  });
  EXPECT_GT(seen, 20);
}

}  // namespace
}  // namespace saola::proxy
