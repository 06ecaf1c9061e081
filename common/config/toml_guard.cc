#include "common/config/toml_guard.h"

namespace saola::config {
namespace {

constexpr std::string_view kWhiteSpace = " \t\r\n";
constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

bool is_ascii(char c) { return static_cast<unsigned char>(c) < 0x80; }

// Counts the dots outside strings and comments since the last character that ends a key.
class HazardScanner {
 public:
  HazardScanner(std::string_view text, std::size_t most) : text_(text), most_(most) {}

  std::optional<HazardFound> run() {
    if (text_.starts_with(kByteOrderMark)) text_.remove_prefix(kByteOrderMark.size());
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '"' || c == '\'') {
        if (!skip_string(c)) return HazardFound{Hazard::kAfterBackslash, here_};
        continue;
      }
      if (!is_ascii(c)) return HazardFound{Hazard::kUnquoted, here_};
      if (c == '#') skip_until('\n');
      if (c == '\n' || c == '=' || c == ',' || c == '{' || c == '[' || c == '#') dots_ = 0;
      if (c == '.' && ++dots_ >= most_) return HazardFound{Hazard::kDeepKey, here_};
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
  // False at a character that must not follow a backslash.
  bool skip_string(char quote) {
    const std::size_t size = sees(quote, 3) ? 3 : 1;
    step(size);
    while (at_ < text_.size() && !sees(quote, size)) {
      if (size == 1 && text_[at_] == '\n') return true;
      const bool escape = quote == '"' && text_[at_] == '\\';
      step();
      if (!escape) continue;
      const bool skips = size == 3 && skip_white_space();
      if (at_ < text_.size() && !is_ascii(text_[at_])) return false;
      if (!skips) step(1);
    }
    step(size);
    return true;
  }
  bool skip_white_space() {
    const std::size_t start = at_;
    while (at_ < text_.size() && kWhiteSpace.find(text_[at_]) != std::string_view::npos) step();
    return at_ != start;
  }

  std::string_view text_;
  std::size_t most_;
  std::size_t at_ = 0;
  std::size_t dots_ = 0;
  TextPosition here_;
};

}  // namespace

std::optional<HazardFound> find_hazard(std::string_view text, std::size_t most_key_parts) {
  return HazardScanner(text, most_key_parts).run();
}

}  // namespace saola::config
