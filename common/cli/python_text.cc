#include "common/cli/python_text.h"

#include <limits>

namespace saola::cli {
namespace {

constexpr std::string_view kShellSpace = " \t\r\n";
constexpr std::string_view kPythonSpace = " \t\n\r\v\f\x1c\x1d\x1e\x1f";

// One word at a time, with the state that shlex keeps.
class WordSplitter {
 public:
  explicit WordSplitter(std::string_view text) : text_(text) {}

  Result<std::vector<std::string>> run() {
    while (at_ < text_.size()) {
      const char c = text_[at_++];
      if (kShellSpace.find(c) != std::string_view::npos) {
        end_word();
        continue;
      }
      in_word_ = true;
      if (c == '\\') {
        if (at_ == text_.size()) return fail("a backslash at the end");
        word_ += text_[at_++];
      } else if (c == '"' || c == '\'') {
        if (!quoted(c)) return fail("a quotation that is not closed");
      } else {
        word_ += c;
      }
    }
    end_word();
    return std::move(words_);
  }

 private:
  // After the opening quote; false if there is no closing one. Only in double quotes is a backslash
  // special, and only before a backslash or a double quote.
  bool quoted(char quote) {
    while (at_ < text_.size()) {
      const char c = text_[at_++];
      if (c == quote) return true;
      if (c == '\\' && quote == '"' && at_ < text_.size() &&
          (text_[at_] == '\\' || text_[at_] == '"')) {
        word_ += text_[at_++];
      } else {
        word_ += c;
      }
    }
    return false;
  }

  void end_word() {
    if (in_word_) words_.push_back(std::move(word_));
    word_.clear();
    in_word_ = false;
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::vector<std::string> words_;
  std::string word_;
  bool in_word_ = false;  // an empty quotation is a word
};

int digit_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return 99;
}

// Takes "0x", "0o" or "0b" off the front and returns the base; 10 if there is none.
int take_base(std::string_view& digits) {
  if (digits.size() < 2 || digits[0] != '0') return 10;
  int base = 10;
  switch (digits[1] | 0x20) {
    case 'x':
      base = 16;
      break;
    case 'o':
      base = 8;
      break;
    case 'b':
      base = 2;
      break;
    default:
      return 10;
  }
  digits.remove_prefix(2);
  if (digits.starts_with('_')) digits.remove_prefix(1);  // 0x_ff is fine
  return base;
}

// Digits of `base` with single underscores between them.
std::optional<std::int64_t> parse_digits(std::string_view digits, int base) {
  constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();
  std::int64_t value = 0;
  bool after_digit = false;
  for (const char c : digits) {
    if (c == '_') {
      if (!after_digit) return std::nullopt;
      after_digit = false;
      continue;
    }
    const int digit = digit_value(c);
    if (digit >= base || value > (kMax - digit) / base) return std::nullopt;
    value = value * base + digit;
    after_digit = true;
  }
  if (!after_digit) return std::nullopt;
  return value;
}

bool has_leading_zero(std::string_view digits) {
  return digits.size() > 1 && digits[0] == '0' &&
         digits.find_first_not_of("0_") != std::string_view::npos;
}

}  // namespace

Result<std::vector<std::string>> split_shell_words(std::string_view text) {
  return WordSplitter(text).run();
}

std::optional<std::int64_t> parse_python_integer(std::string_view text, IntegerSyntax syntax) {
  const bool octal = syntax == IntegerSyntax::kMode && text.size() > 1 && text[0] == '0' &&
                     text[1] >= '0' && text[1] <= '9';
  std::string_view digits = stripped(text);
  const bool negative = digits.starts_with('-');
  if (negative || digits.starts_with('+')) digits.remove_prefix(1);
  int base = 10;
  if (octal) {
    base = 8;
  } else if (syntax != IntegerSyntax::kDecimal) {
    base = take_base(digits);
    if (base == 10 && has_leading_zero(digits)) return std::nullopt;
  }
  const auto value = parse_digits(digits, base);
  if (!value) return std::nullopt;
  return negative ? -*value : *value;
}

std::string_view stripped(std::string_view text) {
  const std::size_t first = text.find_first_not_of(kPythonSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kPythonSpace) - first + 1);
}

std::vector<std::string> split_at_commas(std::string_view text) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const std::size_t comma = text.find(',');
    const std::string_view part = stripped(text.substr(0, comma));
    if (!part.empty()) parts.emplace_back(part);
    if (comma == text.npos) break;
    text.remove_prefix(comma + 1);
  }
  return parts;
}

std::string lowered(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return result;
}

}  // namespace saola::cli
