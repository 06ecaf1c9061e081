#include "common/metrics/series_key.h"

#include <gtest/gtest.h>

namespace saola::metrics {
namespace {

TEST(SeriesKey, ComesBackAsItWas) {
  const std::string text =
      encode_key("saola_requests_total", {{"app", "ma\0in"}, {"path", std::string(300, 'x')}});
  const auto key = decode_key(text);
  ASSERT_TRUE(key);
  EXPECT_EQ(key->name, "saola_requests_total");
  ASSERT_EQ(key->labels.size(), 2U);
  EXPECT_EQ(key->labels[1].second, std::string(300, 'x'));
  EXPECT_EQ(decode_key(encode_key("up", {})), (SeriesKey{"up", {}}));
}

TEST(SeriesKey, DifferentLabelsNeverMakeTheSameKey) {
  EXPECT_NE(encode_key("a", {{"b", "c"}}), encode_key("a", {{"bc", ""}}));
  EXPECT_NE(encode_key("a", {{"b", "c"}}), encode_key("ab", {{"", "c"}}));
}

TEST(SeriesKey, WhatIsCutOffIsNotAKey) {
  const std::string text = encode_key("name", {{"label", "value"}});
  for (std::size_t size = 0; size < text.size(); ++size) {
    const auto key = decode_key(std::string_view(text).substr(0, size));
    // The name alone is a whole key.
    EXPECT_EQ(key.has_value(), size == 6) << size;
  }
}

TEST(SeriesKey, LongFieldsAreCut) {
  const auto key = decode_key(encode_key(std::string(70'000, 'n'), {}));
  ASSERT_TRUE(key);
  EXPECT_EQ(key->name.size(), 65'535U);
}

}  // namespace
}  // namespace saola::metrics
