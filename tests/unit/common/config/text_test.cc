#include <gtest/gtest.h>

#include <filesystem>

#include "common/config/paths.h"
#include "common/config/shown_text.h"
#include "common/config/suggestion.h"
#include "common/config/toml_guard.h"

namespace saola::config {
namespace {

TEST(Suggestion, CountsSlipsOfThePen) {
  EXPECT_EQ(edit_distance("", ""), 0U);
  EXPECT_EQ(edit_distance("", "abc"), 3U);
  EXPECT_EQ(edit_distance("worker", "workers"), 1U);
  EXPECT_EQ(edit_distance("wrokers", "workers"), 1U);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3U);
}

TEST(Suggestion, IsTheNearestNameOrNone) {
  const std::vector<std::string> names{"target", "threads", "workers", "env"};
  EXPECT_EQ(nearest_name("worker", names), "workers");
  EXPECT_EQ(nearest_name("thread", names), "threads");
  EXPECT_EQ(nearest_name("en", names), "env");
  EXPECT_EQ(nearest_name("certificate", names), "");
  EXPECT_EQ(nearest_name(std::string(1'000'000, 'w'), names), "");
}

TEST(ShownText, IsSafeOnATerminal) {
  EXPECT_EQ(shown("a\x1b[31m\n\x7f\xc2\x9b"), "'a\\x1b[31m\\x0a\\x7f\\xc2\\x9b'");
  EXPECT_EQ(shown(std::string(61, 'x')), "'" + std::string(60, 'x') + "...'");
}

TEST(ShownText, IsEscapedAsToml) {
  EXPECT_EQ(toml_quoted("plain \xc3\xa9"), "\"plain \xc3\xa9\"");
  EXPECT_EQ(toml_quoted("a\"b\\c\n\t\r\x01\x7f"), R"("a\"b\\c\n\t\u000D\u0001\u007F")");
  EXPECT_EQ(toml_quoted("\xc2\x9b"), R"("\u009B")");
}

TEST(ShownText, KnowsUtf8) {
  for (const char* text :
       {"", "abc", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\xa6\x8c", "\xf4\x8f\xbf\xbf"}) {
    EXPECT_TRUE(is_clean_text(text)) << text;
  }
  for (const char* text : {"\x80", "\xc3", "\xc0\xaf", "\xe0\x80\xaf", "\xed\xa0\x80",
                           "\xf0\x80\x80\xaf", "\xf4\x90\x80\x80", "\xff", "a\xe2\x82"}) {
    EXPECT_FALSE(is_clean_text(text)) << text;
  }
  EXPECT_FALSE(is_clean_text(std::string_view("a\0b", 3)));
}

TEST(Paths, AreRelativeToTheFile) {
  Config config;
  config.directory = "/etc/saola";
  EXPECT_EQ(resolve_path(config, "cert.pem"), "/etc/saola/cert.pem");
  EXPECT_EQ(resolve_path(config, "./cert.pem"), "/etc/saola/cert.pem");
  EXPECT_EQ(resolve_path(config, "../cert.pem"), "/etc/saola/../cert.pem");
  EXPECT_EQ(resolve_path(config, "."), "/etc/saola");
  EXPECT_EQ(resolve_path(config, "/cert.pem"), "/cert.pem");
  EXPECT_EQ(resolve_path(config, "~/cert.pem"), "/etc/saola/~/cert.pem");
  EXPECT_EQ(resolve_path(config, ""), "");
  config.directory = "/";
  EXPECT_EQ(resolve_path(config, "cert.pem"), "/cert.pem");
}

TEST(Paths, OfTheFilesDirectoryAreAbsolute) {
  const std::string here = std::filesystem::current_path().string();
  EXPECT_EQ(absolute_directory_of("/etc/saola/saola.toml"), "/etc/saola");
  EXPECT_EQ(absolute_directory_of("/saola.toml"), "/");
  EXPECT_EQ(absolute_directory_of("saola.toml"), here);
  EXPECT_EQ(absolute_directory_of("./saola.toml"), here);
  EXPECT_EQ(absolute_directory_of("conf/saola.toml"), here + "/conf");
  EXPECT_EQ(absolute_directory_of(""), here);
}

TEST(TomlGuard, FindsKeysOfTooManyParts) {
  const auto deep = [](std::uint32_t line, std::uint32_t column) {
    return HazardFound{Hazard::kDeepKey, {line, column}};
  };
  EXPECT_EQ(find_hazard("a.b.c = 1\n", 3), std::nullopt);
  EXPECT_EQ(find_hazard("x = 1\na.b.c = 1\n", 2), deep(2, 4));
  EXPECT_EQ(find_hazard("[a.b.c]\n", 2), deep(1, 5));
  EXPECT_EQ(find_hazard("a = { b.c.d = 1 }\n", 2), deep(1, 10));
  EXPECT_EQ(find_hazard("\"\xc3\xa9\".'b'.c = 1\n", 2), deep(1, 8));
  EXPECT_EQ(find_hazard("a = \"open\nb.c.d = 1\n", 2), deep(2, 4));
}

TEST(TomlGuard, DoesNotLookIntoStringsAndComments) {
  for (const char* text :
       {"# a.b.c.d\n", "a = \"b.c.d.e\"\n", "a = 'b.c.d.e'\n", "a = \"\\\".b.c.d\"\n",
        "a = \"\"\"\nb.c.d\n\\\"\"\".e.f.g\"\"\"\n", "a = '''\nb.c.d\\'''\n",
        "a = [1.5, 2.5, 3.5]\n", "# caf\xc3\xa9\n", "a = \"caf\xc3\xa9\"\n", "a = 'caf\xc3\xa9'\n",
        "a = '\\\xc3\xa9'\n", "a = \"\"\"caf\xc3\xa9 \\\n  au lait, caf\xc3\xa9\"\"\"\n",
        "\xef\xbb\xbf# a byte order mark\n"}) {
    EXPECT_EQ(find_hazard(text, 2), std::nullopt) << text;
  }
}

TEST(TomlGuard, FindsCharactersBeyondAsciiWhereWhiteSpaceMayStand) {
  const auto found = [](Hazard hazard, std::uint32_t line, std::uint32_t column) {
    return HazardFound{hazard, {line, column}};
  };
  EXPECT_EQ(find_hazard("[app]\ntargn\xd1\x92 = 1\n", 9), found(Hazard::kUnquoted, 2, 6));
  EXPECT_EQ(find_hazard("a = 1 \xc2\xa0\n", 9), found(Hazard::kUnquoted, 1, 7));
  EXPECT_EQ(find_hazard("a = \"\xd1\x92\\\xd1\x92\"\n", 9), found(Hazard::kAfterBackslash, 1, 8));
  EXPECT_EQ(find_hazard("a = \"\"\"b\\\n \xd1\x92\"\"\"\n", 9),
            found(Hazard::kAfterBackslash, 2, 2));
  EXPECT_EQ(find_hazard("a = \"\"\"b\\ \xd1\x92\"\"\"\n", 9),
            found(Hazard::kAfterBackslash, 1, 11));
}

}  // namespace
}  // namespace saola::config
