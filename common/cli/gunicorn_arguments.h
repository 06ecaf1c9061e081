// gunicorn's command line -> what was given for each setting. Pure.
//
// The rules are those of Python's argparse, which gunicorn uses: "--flag=value", "--flag value",
// "-w3", "-w 3", several short switches in one word ("-DR"), unique prefixes of long flags, "-5" is
// a value, a word with a space in it is never an unknown flag, and everything after "--" is a
// positional argument.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/cli/gunicorn_settings.h"
#include "common/core/result.h"

namespace saola::cli {

struct Given {
  // One for each time a kList flag was given; the last one for the others; empty for kNone, and for
  // kOptionalText without a word.
  std::vector<std::string> values;
  // "--workers", or "GUNICORN_CMD_ARGS: --workers": for messages.
  std::string where;
};

// Keyed by Setting::name.
using GivenSettings = std::map<std::string_view, Given>;

struct Arguments {
  GivenSettings settings;
  std::vector<std::string> positional;
  bool help = false;     // -h, --help: what follows it was not looked at
  bool version = false;  // -v, --version: likewise
};

// `source` goes before the flag in messages ("GUNICORN_CMD_ARGS"); empty for the command line. The
// error is argparse's, with a suggestion for a misspelt flag.
Result<Arguments> parse_gunicorn_arguments(const std::vector<std::string>& words,
                                           std::string_view source = {});

}  // namespace saola::cli
