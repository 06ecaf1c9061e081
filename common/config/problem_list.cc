#include "common/config/problem_list.h"

#include <algorithm>
#include <tuple>

namespace saola::config {
namespace {

bool is_at_or_below(std::string_view key, std::string_view above) {
  return key.starts_with(above) && (key.size() == above.size() || key[above.size()] == '.');
}

}  // namespace

void ProblemList::add(const std::string& dotted, const Origin& origin, std::string message) {
  if (!dotted.empty()) failed_.insert(dotted);
  problems_.push_back({origin, std::move(message)});
}

void ProblemList::add_found(const Problem& problem) {
  if (has_failed(problem.where)) return;
  problems_.push_back({origin_of(problem.where), problem.message});
}

bool ProblemList::has_failed(std::string_view dotted) const {
  return std::any_of(failed_.begin(), failed_.end(), [dotted](const std::string& failed) {
    return is_at_or_below(dotted, failed) || is_at_or_below(failed, dotted);
  });
}

Origin ProblemList::origin_of(std::string_view dotted) const {
  while (!dotted.empty()) {
    if (const auto found = origins_.find(dotted); found != origins_.end()) return found->second;
    const std::size_t dot = dotted.rfind('.');
    dotted = dot == std::string_view::npos ? std::string_view() : dotted.substr(0, dot);
  }
  return {file_, 0, 0};
}

std::vector<Problem> ProblemList::take() {
  std::stable_sort(problems_.begin(), problems_.end(), [](const Located& a, const Located& b) {
    return std::tie(a.origin.line, a.origin.column) < std::tie(b.origin.line, b.origin.column);
  });
  std::vector<Problem> out;
  for (Located& located : problems_) {
    out.push_back({std::move(located.origin.where), std::move(located.message)});
  }
  problems_.clear();
  return out;
}

}  // namespace saola::config
