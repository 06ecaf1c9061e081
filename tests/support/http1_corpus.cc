#include "tests/support/http1_corpus.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include "common/core/check.h"

namespace saola::test {
namespace {

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  SAOLA_CHECK(file.good());
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

void replace_all(std::string& text, const std::string& from, const std::string& to) {
  for (std::size_t at = text.find(from); at != std::string::npos;
       at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
}

struct Repetition {
  std::string mark;
  std::string text;
};

Repetition read_repetition(std::istringstream& line) {
  Repetition repetition;
  std::size_t count = 0;
  std::string unit;
  line >> repetition.mark >> count >> std::ws;
  std::getline(line, unit);
  SAOLA_CHECK(count > 0 && !unit.empty());
  replace_all(unit, "\\r", "\r");
  replace_all(unit, "\\n", "\n");
  for (std::size_t i = 0; i < count; ++i) repetition.text += unit;
  return repetition;
}

std::string in_targets(std::string text, const std::vector<Repetition>& repetitions) {
  for (const auto& r : repetitions) replace_all(text, r.mark, r.text);
  return text;
}

CorpusCase read_case(const std::filesystem::path& http, const std::string& folder) {
  CorpusCase found;
  found.name = folder + "/" + http.stem().string();
  auto expect = http;
  std::istringstream lines(read_file(expect.replace_extension(".expect")));
  std::vector<Repetition> repetitions;
  for (std::string text; std::getline(lines, text);) {
    std::istringstream line(text);
    std::string directive;
    line >> directive >> std::ws;
    if (directive == "#") continue;
    SAOLA_CHECK(found.status == 0);  // the last line
    if (directive == "repeat") {
      repetitions.push_back(read_repetition(line));
    } else if (directive == "request") {
      std::getline(line, text);
      found.requests.push_back(in_targets(text, repetitions));
    } else {
      SAOLA_CHECK(directive == "status" && line >> found.status);
    }
  }
  found.bytes = in_targets(read_file(http), repetitions);
  return found;
}

}  // namespace

std::vector<CorpusCase> read_corpus(const std::string& folder) {
  const auto root = std::filesystem::path(SAOLA_SOURCE_DIR) / "tests/corpus/http1" / folder;
  std::vector<CorpusCase> cases;
  for (const auto& entry : std::filesystem::directory_iterator(root)) {
    if (entry.path().extension() == ".http") cases.push_back(read_case(entry.path(), folder));
  }
  std::sort(cases.begin(), cases.end(),
            [](const auto& a, const auto& b) { return a.name < b.name; });
  return cases;
}

}  // namespace saola::test
