#include "common/cli/python_text.h"

#include <gmock/gmock.h>

namespace saola::cli {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

struct SplitCase {
  std::string_view text;
  std::vector<std::string> words;
};

class SplitShellWords : public testing::TestWithParam<SplitCase> {};

TEST_P(SplitShellWords, GivesWhatShlexGives) {
  const auto words = split_shell_words(GetParam().text);
  ASSERT_TRUE(words) << words.error().message;
  EXPECT_EQ(*words, GetParam().words);
}

INSTANTIATE_TEST_SUITE_P(
    Cases, SplitShellWords,
    testing::Values(SplitCase{"", {}}, SplitCase{"  \t\r\n ", {}},
                    SplitCase{"--bind=0.0.0.0:80 -w 3", {"--bind=0.0.0.0:80", "-w", "3"}},
                    SplitCase{"a\n\tb", {"a", "b"}}, SplitCase{"'a b' \"c d\"", {"a b", "c d"}},
                    SplitCase{"a'b c'd", {"ab cd"}}, SplitCase{"a\"b\"'c'", {"abc"}},
                    SplitCase{"'' \"\" x''", {"", "", "x"}}, SplitCase{R"(a\ b \n)", {"a b", "n"}},
                    SplitCase{R"("a\"b\\c\d")", {R"(a"b\c\d)"}}, SplitCase{R"('a\b')", {R"(a\b)"}},
                    SplitCase{R"("it's")", {"it's"}}, SplitCase{R"('"')", {"\""}},
                    SplitCase{"a # no comment", {"a", "#", "no", "comment"}},
                    SplitCase{"a\\\nb", {"a\nb"}},
                    SplitCase{"--access-logformat '%(h)s \"%(r)s\"'",
                              {"--access-logformat", "%(h)s \"%(r)s\""}},
                    SplitCase{"-e K=\"v w\"", {"-e", "K=v w"}}));

TEST(SplitShellWordsErrors, SayWhatIsMissing) {
  for (const std::string_view open : {"'", "a 'b", "\"", "\"a\\\"", "\"a\\"}) {
    const auto words = split_shell_words(open);
    ASSERT_FALSE(words) << open;
    EXPECT_EQ(words.error().message, "a quotation that is not closed");
  }
  EXPECT_EQ(split_shell_words("a\\").error().message, "a backslash at the end");
}

TEST(ParsePythonInteger, TakesWhatIntTakes) {
  const auto decimal = [](std::string_view text) {
    return parse_python_integer(text, IntegerSyntax::kDecimal);
  };
  EXPECT_EQ(decimal("3"), 3);
  EXPECT_EQ(decimal(" 3\n"), 3);
  EXPECT_EQ(decimal("+3"), 3);
  EXPECT_EQ(decimal("-3"), -3);
  EXPECT_EQ(decimal("007"), 7);
  EXPECT_EQ(decimal("1_000"), 1000);
  EXPECT_EQ(decimal("9223372036854775807"), 9223372036854775807);
  for (const std::string_view bad : {"", " ", "x", "3x", "3.0", "1e3", "0x10", "_1", "1_", "1__0",
                                     "+", "--1", "+-1", "1 2", "9223372036854775808"}) {
    EXPECT_EQ(decimal(bad), std::nullopt) << bad;
  }
}

TEST(ParsePythonInteger, ReadsModesAsGunicornDoes) {
  const auto mode = [](std::string_view text) {
    return parse_python_integer(text, IntegerSyntax::kMode);
  };
  EXPECT_EQ(mode("022"), 022);
  EXPECT_EQ(mode("0o22"), 022);
  EXPECT_EQ(mode("0022"), 022);
  EXPECT_EQ(mode("0x12"), 022);
  EXPECT_EQ(mode("0b10010"), 022);
  EXPECT_EQ(mode("18"), 022);
  EXPECT_EQ(mode("0"), 0);
  EXPECT_EQ(mode("00"), 0);
  EXPECT_EQ(mode("08"), std::nullopt);
  EXPECT_EQ(mode("0o"), std::nullopt);
}

TEST(ParsePythonInteger, ReadsLiteralsOfEveryBase) {
  const auto literal = [](std::string_view text) {
    return parse_python_integer(text, IntegerSyntax::kLiteral);
  };
  EXPECT_EQ(literal("2"), 2);
  EXPECT_EQ(literal("0x_1f"), 31);
  EXPECT_EQ(literal("000"), 0);
  EXPECT_EQ(literal("012"), std::nullopt);
}

TEST(SplitAtCommas, LeavesOutWhatIsEmpty) {
  EXPECT_THAT(split_at_commas(" 10.0.0.0/8 ,, ::1,"), ElementsAre("10.0.0.0/8", "::1"));
  EXPECT_THAT(split_at_commas(""), IsEmpty());
}

}  // namespace
}  // namespace saola::cli
