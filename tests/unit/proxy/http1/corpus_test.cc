// Every input of tests/corpus/http1 through parser and decoder, whole and in small pieces.
#include <gtest/gtest.h>

#include "tests/support/http1_conversation.h"
#include "tests/support/http1_corpus.h"

namespace saola::test {
namespace {

class Corpus : public testing::TestWithParam<CorpusCase> {};

std::vector<std::string> summary(const Conversation& conversation) {
  std::vector<std::string> lines;
  for (const auto& request : conversation.requests) {
    lines.push_back(request.method + " " + request.target + " " +
                    std::to_string(request.body.size()));
  }
  return lines;
}

TEST_P(Corpus, ComesToWhatItsExpectFileSays) {
  const auto& input = GetParam();
  for (const std::size_t piece :
       {std::size_t{1} << 30, std::size_t{1}, std::size_t{2}, std::size_t{7}, std::size_t{4096}}) {
    if (piece < 8 && input.bytes.size() > 200'000) continue;  // nothing new, only slow
    const auto conversation = converse(input.bytes, piece);
    EXPECT_EQ(conversation.status, input.status)
        << "pieces of " << piece << ": " << conversation.reason;
    EXPECT_EQ(summary(conversation), input.requests) << "pieces of " << piece;
  }
}

TEST(Corpus, HasEnoughInvalidInputs) { EXPECT_GE(read_corpus("invalid").size(), 150U); }

std::string test_name(const testing::TestParamInfo<CorpusCase>& info) {
  return info.param.name.substr(info.param.name.find('/') + 1);
}
INSTANTIATE_TEST_SUITE_P(Valid, Corpus, testing::ValuesIn(read_corpus("valid")), test_name);
INSTANTIATE_TEST_SUITE_P(Invalid, Corpus, testing::ValuesIn(read_corpus("invalid")), test_name);

}  // namespace
}  // namespace saola::test
