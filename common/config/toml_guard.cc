#include "common/config/toml_guard.h"

namespace saola::config {
namespace {

// Counts the dots outside strings and comments since the last character that ends a key.
class KeyScanner {
 public:
  KeyScanner(std::string_view text, std::size_t most) : text_(text), most_(most) {}

  std::optional<TextPosition> run() {
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '"' || c == '\'') {
        skip_string(c);
        continue;
      }
      if (c == '#') skip_until('\n');
      if (c == '\n' || c == '=' || c == ',' || c == '{' || c == '[' || c == '#') dots_ = 0;
      if (c == '.' && ++dots_ >= most_) return here_;
      if (c != '#') step();
    }
    return std::nullopt;
  }

 private:
  void step() {
    const char c = text_[at_++];
    if (c == '\n') {
      here_ = {here_.line + 1, 1};
    } else if ((static_cast<unsigned char>(c) & 0xc0U) != 0x80U) {
      ++here_.column;
    }
  }
  void step(std::size_t count) {
    while (count-- > 0 && at_ < text_.size()) step();
  }
  void skip_until(char end) {
    while (at_ < text_.size() && text_[at_] != end) step();
  }
  bool sees(char quote, std::size_t count) const {
    return text_.substr(at_, count) ==
           std::string_view("\"\"\"'''").substr(quote == '"' ? 0 : 3, count);
  }

  // Both kinds of TOML 1.0 strings; a one-line string that is not closed ends with its line.
  void skip_string(char quote) {
    const std::size_t size = sees(quote, 3) ? 3 : 1;
    step(size);
    while (at_ < text_.size() && !sees(quote, size)) {
      if (size == 1 && text_[at_] == '\n') return;
      step(quote == '"' && text_[at_] == '\\' ? 2 : 1);
    }
    step(size);
  }

  std::string_view text_;
  std::size_t most_;
  std::size_t at_ = 0;
  std::size_t dots_ = 0;
  TextPosition here_;
};

}  // namespace

std::optional<TextPosition> find_deep_key(std::string_view text, std::size_t most) {
  return KeyScanner(text, most).run();
}

}  // namespace saola::config
