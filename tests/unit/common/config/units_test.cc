#include "common/config/units.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

namespace saola::config {
namespace {

using std::chrono::milliseconds;

TEST(Duration, IsReadAsPeopleWriteIt) {
  const std::vector<std::pair<std::string, std::int64_t>> table{{"0", 0},
                                                                {"0s", 0},
                                                                {"500ms", 500},
                                                                {"30s", 30'000},
                                                                {"2m", 120'000},
                                                                {"1h", 3'600'000},
                                                                {"1h30m", 5'400'000},
                                                                {"1d", 86'400'000},
                                                                {"1m1ms", 60'001},
                                                                {"007s", 7'000},
                                                                {"1d2h3m4s5ms", 93'784'005},
                                                                {"10000d", 864'000'000'000}};
  for (const auto& [text, expected] : table) {
    auto parsed = parse_duration(text);
    ASSERT_TRUE(parsed) << text << ": " << parsed.error().message;
    EXPECT_EQ(parsed->count(), expected) << text;
  }
}

TEST(Duration, ThatIsNoneSaysWhy) {
  const std::vector<std::pair<std::string, std::string>> table{
      {"30", "'30' has no unit"},
      {"", "'' is not a duration"},
      {"off", "'off' is not a duration"},
      {"s", "'s' is not a duration"},
      {"-5s", "'-5s' is not a duration"},
      {"+5s", "'+5s' is not a duration"},
      {"1.5s", "'1.5s' is not a duration"},
      {"30 s", "'30 s' is not a duration"},
      {"30S", "'30S' is not a duration"},
      {"1w", "'1w' is not a duration"},
      {"1s 2s", "'1s 2s' is not a duration"},
      {"30m1h", "'30m1h' has its units out of order"},
      {"1s1s", "'1s1s' has its units out of order"},
      {"1h30", "'1h30' has no unit"},
      {"10001d", "'10001d' is too long"},
      {"9999d24h1ms", "'9999d24h1ms' is too long"},
      {"99999999999999999999s", "'99999999999999999999s' is too long"},
      {"18446744073709551615h", "'18446744073709551615h' is too long"}};
  for (const auto& [text, why] : table) {
    auto parsed = parse_duration(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_EQ(parsed.error().message, why + "; write it like 500ms, 30s, 2m or 1h30m");
  }
}

TEST(Duration, PrintedIsReadBack) {
  EXPECT_EQ(format_duration(milliseconds(0)), "0s");
  EXPECT_EQ(format_duration(milliseconds(1)), "1ms");
  EXPECT_EQ(format_duration(milliseconds(1'500)), "1s500ms");
  EXPECT_EQ(format_duration(milliseconds(75'000)), "1m15s");
  EXPECT_EQ(format_duration(milliseconds(90'000'000)), "25h");
  std::int64_t step = 1;
  for (std::int64_t value = 0; value < 864'000'000'000; value += step, step = step * 3 + 7) {
    EXPECT_EQ(parse_duration(format_duration(milliseconds(value)))->count(), value);
  }
}

TEST(ShortTime, IsReadAsPeopleWriteIt) {
  EXPECT_EQ(parse_short_time("500us")->count(), 500'000);
  EXPECT_EQ(parse_short_time("2.5ms")->count(), 2'500'000);
  EXPECT_EQ(parse_short_time("86400s")->count(), 86'400'000'000'000);
  for (const char* text : {"", "5", "fast", "-1s", "0s", "nans", "infs", "1e3s", "1 s", "86401s",
                           "0.5us", "1m", "1s "}) {
    EXPECT_FALSE(parse_short_time(text)) << text;
  }
}

TEST(Size, IsReadAsPeopleWriteIt) {
  const std::vector<std::pair<std::string, std::uint64_t>> table{
      {"0", 0},
      {"1024", 1024},
      {"12B", 12},
      {"64KiB", 65'536},
      {"8MiB", 8'388'608},
      {"10MB", 10'000'000},
      {"8kB", 8'000},
      {"8kb", 8'000},
      {"1gib", 1'073'741'824},
      {"2GB", 2'000'000'000},
      {"1TB", 1'000'000'000'000},
      {"1TiB", 1'099'511'627'776},
      {"9223372036854775807", 9'223'372'036'854'775'807}};
  for (const auto& [text, expected] : table) {
    auto parsed = parse_size(text);
    ASSERT_TRUE(parsed) << text << ": " << parsed.error().message;
    EXPECT_EQ(*parsed, expected) << text;
  }
}

TEST(Size, ThatIsNoneSaysWhy) {
  const std::vector<std::pair<std::string, std::string>> table{
      {"", "'' is not a size"},
      {"8k", "'8k' is not a size"},
      {"8 KiB", "'8 KiB' is not a size"},
      {"1.5MiB", "'1.5MiB' is not a size"},
      {"-1", "'-1' is not a size"},
      {"MiB", "'MiB' is not a size"},
      {"8MiB1", "'8MiB1' is not a size"},
      {"9223372036854775808", "'9223372036854775808' is too large"},
      {"8388608TiB", "'8388608TiB' is too large"},
      {"99999999999999999999KB", "'99999999999999999999KB' is too large"}};
  for (const auto& [text, why] : table) {
    auto parsed = parse_size(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_EQ(parsed.error().message, why + "; write it like 1024, 64KiB, 8MiB or 10MB");
  }
}

TEST(Size, PrintedIsReadBack) {
  EXPECT_EQ(format_size(0), "0");
  EXPECT_EQ(format_size(8190), "8190");
  EXPECT_EQ(format_size(8192), "8KiB");
  EXPECT_EQ(format_size(10'000'000), "10000000");
  EXPECT_EQ(format_size(1ULL << 40U), "1TiB");
  for (std::uint64_t value = 1; value < (1ULL << 62U);
       value = value * 2 + (value % 3 == 0 ? 1 : 0)) {
    EXPECT_EQ(*parse_size(format_size(value)), value);
  }
  const std::uint64_t largest = std::numeric_limits<std::int64_t>::max();
  EXPECT_EQ(*parse_size(format_size(largest)), largest);
}

}  // namespace
}  // namespace saola::config
