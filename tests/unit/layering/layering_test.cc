// Which folder may include which: the picture of docs/architecture.md, read from the #include
// lines.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

namespace saola {
namespace {

namespace fs = std::filesystem;

const fs::path kRoot = SAOLA_SOURCE_DIR;

// The longest folder that matches a file decides. A folder may always include itself.
const std::map<std::string, std::vector<std::string>> kMayInclude = {
    {"common/core", {}},
    {"common/event", {"common/core"}},
    {"common/config", {"common/core"}},
    {"common/ipc", {"common/core"}},
    {"common/metrics", {"common/core"}},
    {"common/control",
     {"common/core", "common/event", "common/config", "common/ipc", "common/metrics"}},
    {"common/cli", {"common/core", "common/config", "common/ipc"}},
    {"proxy", {"common/core", "common/event", "common/config", "common/ipc", "common/metrics"}},
    {"backend", {"common/core", "common/event", "common/config", "common/ipc", "common/metrics"}},
    // The composition root sees all sides.
    {"proxy/main.cc", {"common", "proxy", "backend"}},
};

bool is_below(const std::string& path, const std::string& folder) {
  return path == folder || path.starts_with(folder + "/");
}

const std::vector<std::string>* rule_for(const std::string& file, std::string& folder) {
  const std::vector<std::string>* found = nullptr;
  for (const auto& [name, allowed] : kMayInclude) {
    if (is_below(file, name) && name.size() >= folder.size()) {
      folder = name;
      found = &allowed;
    }
  }
  return found;
}

struct Include {
  std::string file;
  int line;
  std::string target;
  bool angled;
};

std::vector<Include> includes_of(const fs::path& path) {
  std::vector<Include> found;
  std::ifstream input(path);
  std::string text;
  for (int line = 1; std::getline(input, text); ++line) {
    if (!text.starts_with("#include ") || text.size() < 11) continue;
    if (text.ends_with(".inc\"")) continue;  // generated into the build tree
    const char close = text[9] == '<' ? '>' : '"';
    found.push_back({fs::relative(path, kRoot).string(), line,
                     text.substr(10, text.find(close, 10) - 10), close == '>'});
  }
  return found;
}

std::vector<Include> all_includes() {
  std::vector<Include> found;
  for (const char* top : {"common", "proxy", "backend"}) {
    for (const auto& entry : fs::recursive_directory_iterator(kRoot / top)) {
      const auto extension = entry.path().extension();
      if (extension != ".h" && extension != ".cc") continue;
      for (auto& include : includes_of(entry.path())) found.push_back(std::move(include));
    }
  }
  return found;
}

TEST(Layering, FoldersIncludeOnlyWhatStandsBelowThem) {
  const auto includes = all_includes();
  ASSERT_GT(includes.size(), 100u) << "are these the sources?";
  for (const auto& include : includes) {
    if (include.angled) continue;
    std::string folder;
    const auto* allowed = rule_for(include.file, folder);
    ASSERT_NE(allowed, nullptr) << include.file << " is in a folder without a rule";
    bool fine = is_below(include.target, folder);
    for (const auto& name : *allowed) fine = fine || is_below(include.target, name);
    EXPECT_TRUE(fine) << include.file << ":" << include.line << " includes " << include.target;
  }
}

TEST(Layering, IncludesStartAtTheRoot) {
  for (const auto& include : all_includes()) {
    if (include.angled) continue;
    EXPECT_TRUE(fs::exists(kRoot / include.target))
        << include.file << ":" << include.line << " includes " << include.target;
  }
}

// What must never crash does the least: the supervisor's process starts neither.
TEST(Layering, TheControlPlaneUsesNeitherOpenSslNorPython) {
  for (const auto& include : all_includes()) {
    if (!is_below(include.file, "common")) continue;
    for (const char* library : {"openssl/", "pybind11/", "Python.h"}) {
      EXPECT_FALSE(include.target.starts_with(library))
          << include.file << ":" << include.line << " includes " << include.target;
    }
  }
}

// Clients of one are not clients of the other: TLS and HTTP parsing live in proxy, Python in
// backend.
TEST(Layering, PythonIsSeenInBackendOnly) {
  for (const auto& include : all_includes()) {
    if (is_below(include.file, "backend")) continue;
    EXPECT_FALSE(include.target.starts_with("pybind11/") || include.target == "Python.h")
        << include.file << ":" << include.line << " includes " << include.target;
  }
}

}  // namespace
}  // namespace saola
