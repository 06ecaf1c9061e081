// gunicorn's settings, all of them, as one table: how each is spelt on the command line and what
// Saola does with it. docs/gunicorn.md shows the same table (a test compares the two). Spellings
// are those of gunicorn's config.py, odd ones included.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace saola::cli {

// What follows the flag, as gunicorn's argument parser sees it.
enum class Argument : std::uint8_t {
  kNone,          // a switch
  kText,          // one word
  kInteger,       // one word that Python's int() takes: 3, +3, 1_000
  kMode,          // one word: 022, 0o22, 0x12, 18
  kList,          // one word; the flag may be repeated
  kOptionalText,  // one word, or nothing
  kFileOnly,      // no flag: for gunicorn.conf.py
};

enum class Support : std::uint8_t {
  kSame,      // means what it means in gunicorn
  kMapped,    // means nearly the same; the table says the difference
  kPartly,    // depends on the value; others are an error or a warning
  kIgnored,   // accepted with one warning, no effect
  kRefused,   // an error: ignoring it would open, lose or break something
  kFileOnly,  // cannot be given on a command line
};

struct Setting {
  std::string_view name;  // gunicorn's: "access_log_format"
  std::string_view
      flags;  // separated by one space, the short one first: "-b --bind"; empty: kFileOnly
  Argument argument;
  Support support;
  std::string_view says;  // what Saola does; also the text of the warning or error
};

// In gunicorn's order.
std::span<const Setting> gunicorn_settings();

// The setting of that name, which must exist.
const Setting& gunicorn_setting(std::string_view name);

std::vector<std::string_view> flags_of(const Setting& setting);

// The long flag, as messages name the setting: "--bind".
std::string_view long_flag(const Setting& setting);

// "same", "mapped", "partly", "no effect", "error", "file only": the word in the documentation.
std::string_view support_word(Support support);

// --help of drop-in mode: every flag with what it does.
std::string describe_settings();

}  // namespace saola::cli
