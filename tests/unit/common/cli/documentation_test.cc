// docs/gunicorn.md shows the table of common/cli/gunicorn_settings.cc.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <fstream>
#include <string>
#include <vector>

#include "common/cli/gunicorn_settings.h"

namespace saola::cli {
namespace {

std::string documented_row(const Setting& setting) {
  std::string flags;
  for (const std::string_view flag : flags_of(setting)) {
    flags += fmt::format("{}`{}`", flags.empty() ? "" : " ", flag);
  }
  return fmt::format("| `{}` | {} | {} | {} |", setting.name, flags, support_word(setting.support),
                     setting.says);
}

std::vector<std::string> rows_of(const std::string& path) {
  std::ifstream file(path);
  std::vector<std::string> rows;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("| `")) rows.push_back(line);
  }
  return rows;
}

TEST(GunicornDocumentation, ShowsEverySettingAsTheCodeHasIt) {
  std::vector<std::string> expected;
  for (const Setting& setting : gunicorn_settings()) expected.push_back(documented_row(setting));
  EXPECT_EQ(rows_of(SAOLA_SOURCE_DIR "/docs/gunicorn.md"), expected);
}

}  // namespace
}  // namespace saola::cli
