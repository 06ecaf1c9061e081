// Reads tests/corpus/http1 (its README.md describes the files).
#pragma once

#include <ostream>
#include <string>
#include <vector>

namespace saola::test {

struct CorpusCase {
  std::string name;                   // "invalid/host_twice"
  std::string bytes;                  // repetitions written out
  std::vector<std::string> requests;  // "METHOD TARGET BYTES"
  int status = 0;                     // 0: none is refused
};
inline void PrintTo(const CorpusCase& input, std::ostream* out) { *out << input.name; }

// All cases of `folder` ("valid", "invalid"), sorted by name.
std::vector<CorpusCase> read_corpus(const std::string& folder);

}  // namespace saola::test
