// saola_config_reference: writes what is generated from the table of keys.
//
//   saola_config_reference file                    conf/saola.toml to standard output
//   saola_config_reference reference               the reference section of docs/configuration.md
//   saola_config_reference update DOCUMENT         replaces the section between its markers
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>
#include <string_view>

#include "common/config/config_printer.h"
#include "common/config/config_reference.h"

namespace {

int update(const std::string& path) {
  std::stringstream read;
  read << std::ifstream(path).rdbuf();
  std::string text = read.str();
  const std::string_view begin = saola::config::kReferenceBegin;
  const std::size_t from = text.find(begin);
  const std::size_t to = text.find(saola::config::kReferenceEnd);
  if (from == std::string::npos || to == std::string::npos || to < from) {
    std::cerr << path << ": has no reference section to replace\n";
    return 1;
  }
  text.replace(from + begin.size(), to - from - begin.size(), saola::config::print_reference());
  std::ofstream out(path);
  out << text << std::flush;
  return out ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view what = argc > 1 ? argv[1] : "";
  if (what == "file") {
    std::cout << saola::config::print_default_file();
  } else if (what == "reference") {
    std::cout << saola::config::print_reference();
  } else if (what == "update" && argc == 3) {
    return update(argv[2]);
  } else {
    std::cerr << "usage: saola_config_reference file | reference | update DOCUMENT\n";
    return 2;
  }
  return 0;
}
