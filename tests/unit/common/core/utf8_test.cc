#include "common/core/utf8.h"

#include <gtest/gtest.h>

#include <string>

namespace saola {
namespace {

TEST(Utf8, TakesExactlyTheSequencesOfRfc3629) {
  struct Row {
    std::string_view text;
    std::size_t length;
  };
  const Row table[] = {
      {"", 0},
      {"a", 1},
      {std::string_view("\0", 1), 1},
      {"\xc3\xa9", 2},
      {"\xe2\x82\xac", 3},
      {"\xf0\x9f\xa6\x84", 4},
      {"\xf4\x8f\xbf\xbf", 4},
      {"\x80", 0},  // a tail without a head
      {"\xc3", 0},  // cut off
      {"\xe2\x82", 0},
      {"\xf0\x9f\xa6", 0},
      {"\xc3(", 0},
      {"\xc0\xaf", 0},  // overlong '/'
      {"\xe0\x80\xaf", 0},
      {"\xf0\x80\x80\xaf", 0},
      {"\xed\xa0\x80", 0},      // a surrogate
      {"\xf4\x90\x80\x80", 0},  // beyond U+10FFFF
      {"\xff", 0},
  };
  for (const Row& row : table) EXPECT_EQ(utf8_sequence_length(row.text), row.length) << row.text;
}

TEST(Utf8, KnowsControlsThatSomeTerminalsObey) {
  EXPECT_TRUE(is_c1_control("\xc2\x9b"));  // CSI
  EXPECT_FALSE(is_c1_control("\xc2\xa0"));
  EXPECT_FALSE(is_c1_control("\xc3\x9b"));
}

}  // namespace
}  // namespace saola
