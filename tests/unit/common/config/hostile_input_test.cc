// A file that is broken or meant to break gets messages, never a crash or a wait.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/common/config/load.h"

namespace saola::config {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;
using testing::StartsWith;

std::string repeated(std::size_t count, std::string_view part) {
  std::string out;
  for (std::size_t i = 0; i < count; ++i) out += part;
  return out;
}

TEST(HostileInput, HugeNumbers) {
  EXPECT_THAT(
      problems(kApp + "threads = 9223372036854775807\n"),
      ElementsAre("saola.toml:3:11: 'threads' in [app] must be a number from 1 to 1024, not "
                  "9223372036854775807"));
  EXPECT_THAT(problems(kApp + "threads = 92233720368547758070\n"),
              ElementsAre(StartsWith("saola.toml:3:31: not TOML: ")));
  EXPECT_THAT(problems(kApp + "threads = " + repeated(100'000, "9") + "\n"), SizeIs(1));
  EXPECT_THAT(problems(kApp + "threads = 1e999999\n"), SizeIs(1));
}

TEST(HostileInput, LongStrings) {
  const std::string megabyte(1'000'000, 'x');
  EXPECT_EQ(loaded(kApp + "process_name = \"" + megabyte + "\"\n").apps.at("app").process_name,
            megabyte);
  const auto wrong = problems(kApp + "loop = \"" + megabyte + "\"\n" + megabyte + " = 1\n");
  ASSERT_THAT(wrong, SizeIs(2));
  for (const std::string& line : wrong) EXPECT_LT(line.size(), 300U);
  EXPECT_THAT(problems(kApp, {{"SAOLA_" + megabyte, megabyte}}), SizeIs(1));
}

TEST(HostileInput, DeepNesting) {
  EXPECT_THAT(problems(kApp + "env = " + repeated(100'000, "[")),
              ElementsAre(StartsWith("saola.toml:3:")));
  EXPECT_THAT(problems(kApp + "env = " + repeated(100'000, "{ a = ")),
              ElementsAre(StartsWith("saola.toml:3:")));
  EXPECT_THAT(problems(repeated(500'000, "a.") + "a = 1\n"),
              ElementsAre("saola.toml:1:64: a key of more than 32 parts"));
  EXPECT_THAT(problems("[" + repeated(500'000, "a.") + "a]\n"),
              ElementsAre("saola.toml:1:65: a key of more than 32 parts"));
}

TEST(HostileInput, BytesThatAreNoText) {
  EXPECT_THAT(problems(kApp + "venv = \"\xff\xfe\"\n"),
              ElementsAre(StartsWith("saola.toml:3:8: not TOML: ")));
  EXPECT_THAT(problems(kApp + std::string("venv = \"a\0b\"\n", 13)),
              ElementsAre(StartsWith("saola.toml:3:10: not TOML: ")));
  EXPECT_THAT(problems(std::string(1000, '\0')),
              ElementsAre(StartsWith("saola.toml:1:1: not TOML: ")));
  EXPECT_THAT(problems("\xef\xbb\xbf" + kApp), IsEmpty()) << "a byte order mark is fine";
  EXPECT_THAT(problems("[app]\r\ntarget = \"app:application\"\r\n"), IsEmpty());
}

TEST(HostileInput, ManyProblems) {
  std::string text = kApp;
  for (int i = 0; i < 2'000; ++i) text += "key" + std::to_string(i) + " = 1\n";
  EXPECT_THAT(problems(text), SizeIs(2'000));
}

}  // namespace
}  // namespace saola::config
