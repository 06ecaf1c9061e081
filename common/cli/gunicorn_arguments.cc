#include "common/cli/gunicorn_arguments.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdint>
#include <utility>

#include "common/cli/python_text.h"
#include "common/config/shown_text.h"
#include "common/config/suggestion.h"

namespace saola::cli {
namespace {

constexpr Setting kHelp{"help", "-h --help", Argument::kNone, Support::kSame, "prints this list"};
constexpr Setting kVersion{"version", "-v --version", Argument::kNone, Support::kSame,
                           "prints the version"};

struct Flag {
  std::string_view spelling;
  const Setting* setting;
};

std::vector<Flag> all_flags() {
  std::vector<Flag> flags;
  const auto add = [&flags](const Setting& setting) {
    for (const std::string_view spelling : flags_of(setting)) flags.push_back({spelling, &setting});
  };
  add(kHelp);
  add(kVersion);
  for (const Setting& setting : gunicorn_settings()) add(setting);
  return flags;
}

// What argparse makes of one word before it looks at its neighbours.
struct Word {
  enum class Kind : std::uint8_t { kValue, kFlag, kUnknownFlag, kEndOfFlags };
  Kind kind = Kind::kValue;
  const Setting* setting = nullptr;     // kFlag
  std::string spelling;                 // kFlag: the full flag, "--workers"
  std::optional<std::string> attached;  // kFlag: the value in the same word
};

// -5, -.5, -0.5: values, since no flag looks like a number.
bool is_negative_number(std::string_view word) {
  if (word.size() < 2 || word[0] != '-') return false;
  word.remove_prefix(1);
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  const std::size_t point = word.find('.');
  const std::string_view fraction = point == word.npos ? word : word.substr(point + 1);
  const std::string_view whole = point == word.npos ? "" : word.substr(0, point);
  return !fraction.empty() && std::all_of(fraction.begin(), fraction.end(), is_digit) &&
         std::all_of(whole.begin(), whole.end(), is_digit);
}

class Parser {
 public:
  Parser(const std::vector<std::string>& words, std::string_view source)
      : words_(words), source_(source), flags_(all_flags()) {}

  Result<Arguments> run() {
    if (auto step = classify_all(); !step) return Unexpected{step.error()};
    for (std::size_t at = 0; at < kinds_.size();) {
      if (kinds_[at].kind == Word::Kind::kFlag) {
        auto next = take_flag(at);
        if (!next) return Unexpected{next.error()};
        if (result_.help || result_.version) return std::move(result_);
        at = *next;
      } else if (kinds_[at].kind == Word::Kind::kUnknownFlag) {
        unrecognized_.push_back(words_[at++]);
      } else {
        at = take_positionals(at);
      }
    }
    if (!unrecognized_.empty()) return fail(unrecognized_message());
    return std::move(result_);
  }

 private:
  const Setting* exact(std::string_view spelling) const {
    for (const Flag& flag : flags_) {
      if (flag.spelling == spelling) return flag.setting;
    }
    return nullptr;
  }

  Result<void> classify_all() {
    bool only_values = false;
    for (const std::string& text : words_) {
      if (only_values) {
        kinds_.emplace_back();
      } else if (text == "--") {
        only_values = true;
        kinds_.emplace_back().kind = Word::Kind::kEndOfFlags;
      } else {
        auto word = classify(text);
        if (!word) return Unexpected{word.error()};
        kinds_.push_back(*std::move(word));
      }
    }
    return {};
  }

  Result<Word> classify(const std::string& text) const {
    if (text.size() < 2 || text[0] != '-') return Word{};
    if (const Setting* setting = exact(text)) return flag_word(setting, text, std::nullopt);
    const std::size_t equals = text.find('=');
    if (equals != text.npos) {
      const std::string spelling = text.substr(0, equals);
      if (const Setting* setting = exact(spelling)) {
        return flag_word(setting, spelling, text.substr(equals + 1));
      }
    }
    auto word = text[1] == '-' ? by_prefix(text, equals) : by_short_flag(text);
    if (!word || word->kind == Word::Kind::kFlag) return word;
    if (is_negative_number(text) || text.find(' ') != text.npos) return Word{};
    return word;
  }

  static Word flag_word(const Setting* setting, std::string_view spelling,
                        std::optional<std::string> attached) {
    return {Word::Kind::kFlag, setting, std::string(spelling), std::move(attached)};
  }

  static Word unknown_flag() { return {Word::Kind::kUnknownFlag, nullptr, {}, std::nullopt}; }

  // "--access-logform": the start of exactly one long flag.
  Result<Word> by_prefix(const std::string& text, std::size_t equals) const {
    const std::string prefix = text.substr(0, equals);
    std::vector<Flag> matches;
    for (const Flag& flag : flags_) {
      if (flag.spelling.starts_with(prefix)) matches.push_back(flag);
    }
    if (matches.empty()) return unknown_flag();
    if (matches.size() > 1) {
      std::vector<std::string_view> spellings;
      spellings.reserve(matches.size());
      for (const Flag& flag : matches) spellings.push_back(flag.spelling);
      return fail(fmt::format("{}ambiguous option: {} could match {}", prefix_of_source(),
                              config::shown(prefix), fmt::join(spellings, ", ")));
    }
    std::optional<std::string> attached;
    if (equals != text.npos) attached = text.substr(equals + 1);
    return flag_word(matches[0].setting, matches[0].spelling, std::move(attached));
  }

  // "-w3", "-DR": a short flag with something behind it.
  Word by_short_flag(const std::string& text) const {
    const std::string spelling = text.substr(0, 2);
    const Setting* setting = exact(spelling);
    return setting == nullptr ? unknown_flag() : flag_word(setting, spelling, text.substr(2));
  }

  // Returns the index of the word after the flag and its value.
  Result<std::size_t> take_flag(std::size_t at) {
    const Setting* setting = kinds_[at].setting;
    std::string spelling = kinds_[at].spelling;
    std::optional<std::string> attached = kinds_[at].attached;
    while (attached && setting->argument == Argument::kNone) {
      const bool is_short = spelling[1] != '-';
      const Setting* next =
          is_short && !attached->empty() ? exact("-" + attached->substr(0, 1)) : nullptr;
      if (next == nullptr) {
        return fail(
            argument_message(*setting, "takes no value, but got " + config::shown(*attached)));
      }
      record(*setting, {});
      setting = next;
      spelling = "-" + attached->substr(0, 1);
      attached = attached->size() > 1 ? std::optional(attached->substr(1)) : std::nullopt;
    }
    ++at;
    if (setting->argument == Argument::kNone) {
      record(*setting, {});
      return at;
    }
    if (!attached && at < kinds_.size() && kinds_[at].kind == Word::Kind::kValue)
      attached = words_[at++];
    if (!attached && setting->argument != Argument::kOptionalText) {
      return fail(argument_message(*setting, "expected one argument"));
    }
    if (auto fine = check_value(*setting, attached); !fine) return Unexpected{fine.error()};
    record(*setting, attached);
    return at;
  }

  Result<void> check_value(const Setting& setting, const std::optional<std::string>& value) const {
    if (!value) return {};
    if (!config::is_clean_text(*value)) return fail(argument_message(setting, "not valid UTF-8"));
    const bool is_mode = setting.argument == Argument::kMode;
    if (setting.argument != Argument::kInteger && !is_mode) return {};
    const auto number =
        parse_python_integer(*value, is_mode ? IntegerSyntax::kMode : IntegerSyntax::kDecimal);
    if (!number)
      return fail(argument_message(setting, "invalid int value: " + config::shown(*value)));
    if (*number < 0) return fail(argument_message(setting, "must not be negative: " + *value));
    return {};
  }

  void record(const Setting& setting, const std::optional<std::string>& value) {
    if (&setting == &kHelp) result_.help = true;
    if (&setting == &kVersion) result_.version = true;
    if (result_.help || result_.version) return;
    Given& given = result_.settings[setting.name];
    given.where = std::string(prefix_of_source()) + std::string(long_flag(setting));
    if (setting.argument != Argument::kList) given.values.clear();
    if (value) given.values.push_back(*value);
  }

  // argparse gives the first run of words to the application's name; later ones are too many. The
  // "--" that ends the flags is not part of it.
  std::size_t take_positionals(std::size_t at) {
    std::vector<std::string> run;
    for (; at < kinds_.size(); ++at) {
      const Word::Kind kind = kinds_[at].kind;
      if (kind == Word::Kind::kValue) {
        run.push_back(words_[at]);
      } else if (kind != Word::Kind::kEndOfFlags) {
        break;
      }
    }
    if (has_positionals_) {
      unrecognized_.insert(unrecognized_.end(), run.begin(), run.end());
    } else {
      result_.positional = std::move(run);
      has_positionals_ = true;
    }
    return at;
  }

  std::string prefix_of_source() const {
    return source_.empty() ? std::string() : std::string(source_) + ": ";
  }

  std::string argument_message(const Setting& setting, std::string_view what) const {
    return fmt::format("{}argument {}: {}", prefix_of_source(), fmt::join(flags_of(setting), "/"),
                       what);
  }

  std::string unrecognized_message() const {
    std::vector<std::string> shown;
    for (const std::string& word : unrecognized_) shown.push_back(config::shown(word));
    std::string message =
        fmt::format("{}unrecognized arguments: {}", prefix_of_source(), fmt::join(shown, " "));
    std::vector<std::string> names;
    for (const Flag& flag : flags_) names.emplace_back(flag.spelling);
    const std::string first = unrecognized_.front().substr(0, unrecognized_.front().find('='));
    if (first.starts_with("--")) {
      const std::string_view meant = config::nearest_name(first, names);
      if (!meant.empty()) message += fmt::format("; did you mean {}?", meant);
    }
    return message;
  }

  const std::vector<std::string>& words_;
  std::string_view source_;
  std::vector<Flag> flags_;
  std::vector<Word> kinds_;  // of words_
  std::vector<std::string> unrecognized_;
  bool has_positionals_ = false;
  Arguments result_;
};

}  // namespace

Result<Arguments> parse_gunicorn_arguments(const std::vector<std::string>& words,
                                           std::string_view source) {
  return Parser(words, source).run();
}

}  // namespace saola::cli
