// Collects what is wrong with one configuration, and remembers where each setting came from, so
// that a finding about several keys can point at a line too.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "common/config/config_loader.h"

namespace saola::config {

// "saola.toml:14:9", or the name of a variable; line 0 sorts first.
struct Origin {
  std::string where;
  std::uint32_t line = 0;
  std::uint32_t column = 0;
};

class ProblemList {
 public:
  // `file` is the place of findings about things that stand nowhere.
  explicit ProblemList(std::string file) : file_(std::move(file)) {}

  // A setting or a table was given here.
  void note(const std::string& dotted, Origin origin) { origins_[dotted] = std::move(origin); }

  // `dotted` may be empty: no setting in particular.
  void add(const std::string& dotted, const Origin& origin, std::string message);

  // What validate() found: `where` is a dotted key. Left out if that place has a problem already,
  // as a key that could not be read has its default.
  void add_found(const Problem& problem);

  // True if this place, one above or one below has a problem.
  bool has_failed(std::string_view dotted) const;

  bool empty() const { return problems_.empty(); }
  // In the order of the file, the environment last.
  std::vector<Problem> take();

 private:
  struct Located {
    Origin origin;
    std::string message;
  };
  Origin origin_of(std::string_view dotted) const;

  std::string file_;
  std::map<std::string, Origin, std::less<>> origins_;
  std::set<std::string, std::less<>> failed_;
  std::vector<Located> problems_;
};

inline constexpr std::uint32_t kAfterTheFile = std::numeric_limits<std::uint32_t>::max();

}  // namespace saola::config
