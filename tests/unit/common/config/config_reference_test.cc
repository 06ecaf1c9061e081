// What is generated from the table of keys is what the repository has. To renew it:
//   ninja saola_config_reference
//   saola_config_reference file > conf/saola.toml
//   saola_config_reference update docs/configuration.md
#include "common/config/config_reference.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "common/config/config_printer.h"
#include "common/config/config_schema.h"
#include "tests/unit/common/config/load.h"

namespace saola::config {
namespace {

using testing::HasSubstr;

std::string read(const std::filesystem::path& path) {
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

const std::filesystem::path kRoot = SAOLA_SOURCE_DIR;

TEST(DefaultFile, IsWhatTheTableSays) {
  EXPECT_EQ(read(kRoot / "conf/saola.toml"), print_default_file());
}

TEST(DefaultFile, ChangesNoDefault) {
  const Config config = loaded(print_default_file());
  EXPECT_EQ(config, loaded(kApp));
}

TEST(DefaultFile, HasValidLinesBehindItsComments) {
  // Every "#key = value" as it would be without its mark, tables by tables.
  std::string text;
  std::istringstream lines(print_default_file());
  for (std::string line; std::getline(lines, line);) {
    const bool is_commented_out = line.starts_with('#') && !line.starts_with("# ");
    text += is_commented_out ? line.substr(1) : line.starts_with('#') ? "" : line;
    text += '\n';
  }
  // An empty certificate is the only thing that cannot stand.
  for (const char* key : {"\ncertificate = \"\"", "\nkey = \"\""}) {
    for (std::size_t at = 0; (at = text.find(key, at)) != std::string::npos;) {
      text.replace(at, std::string(key).size(),
                   "\n" + std::string(key).substr(1, 5) == "\ncerti" ? "\ncertificate = \"c\""
                                                                     : "\nkey = \"k\"");
    }
  }
  const Config config = loaded(text);
  EXPECT_EQ(config.limits, Limits());
  EXPECT_EQ(config.server, Server());
  EXPECT_EQ(config.log, Log());
  EXPECT_EQ(config.apps.at("app").env.at("NAME"), "value");
}

TEST(ConfFolder, HoldsFilesThatLoad) {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(kRoot / "conf")) {
    if (entry.path().extension() != ".toml") continue;
    ++count;
    auto result = load_config({entry.path().string(), read(entry.path()), {}});
    EXPECT_TRUE(result) << entry.path() << ": "
                        << (result ? std::string() : to_string(result.error().front()));
  }
  EXPECT_GE(count, 1);
}

TEST(Reference, IsWhatTheDocumentHas) {
  const std::string document = read(kRoot / "docs/configuration.md");
  EXPECT_THAT(document, HasSubstr(kReferenceBegin + print_reference() + kReferenceEnd));
}

TEST(Schema, HasADescriptionForEveryKey) {
  std::set<const Table*> seen;
  const std::function<void(const Table&)> check = [&](const Table& table) {
    if (!seen.insert(&table).second) return;
    std::set<std::string> names;
    for (const Key& key : table.keys) {
      EXPECT_TRUE(names.insert(key.name).second) << table.title << " " << key.name << " twice";
      if (!key.is_supported()) continue;
      EXPECT_FALSE(key.help.empty()) << key.name;
      EXPECT_FALSE(key.accepts.empty()) << key.name;
      EXPECT_EQ(key.help.find_first_of("|\n"), std::string::npos) << key.name;
    }
    for (const Child& child : table.children) check(child.table());
  };
  check(root_table());
}

}  // namespace
}  // namespace saola::config
