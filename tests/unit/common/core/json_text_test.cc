#include "common/core/json_text.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace saola {
namespace {

using nlohmann::json;

TEST(JsonText, StringsAreValidWhateverTheBytes) {
  const std::pair<std::string_view, std::string_view> table[] = {
      {"plain", "\"plain\""},
      {"\"\\", "\"\\\"\\\\\""},
      {std::string_view("\0\x01\n\x1f", 4), "\"\\u0000\\u0001\\u000a\\u001f\""},
      {"\x7f", "\"\\u007f\""},
      {"\xc3\xa9\xf0\x9f\xa6\x84", "\"\xc3\xa9\xf0\x9f\xa6\x84\""},
      {"\xc2\x9b", "\"\\u009b\""},  // a control that terminals obey
      {"a\xffz", "\"a\\ufffdz\""},
      {"\xc3", "\"\\ufffd\""},
      {"\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\""},
  };
  for (const auto& [text, expected] : table) {
    std::string out;
    append_json_string(out, text);
    EXPECT_EQ(out, expected);
    EXPECT_TRUE(json::accept(out));
  }
  for (unsigned first = 0; first < 256; ++first) {
    for (unsigned second = 0; second < 256; ++second) {
      const char bytes[] = {static_cast<char>(first), static_cast<char>(second)};
      std::string out;
      append_json_string(out, {bytes, 2});
      ASSERT_TRUE(json::accept(out)) << first << ' ' << second;
    }
  }
}

}  // namespace
}  // namespace saola
