// "did you mean ...?" for a misspelt name. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace saola::config {

// Insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`.
std::size_t edit_distance(std::string_view a, std::string_view b);

// The nearest of `names` if it is near enough to be meant (about one slip in three letters);
// empty otherwise. The first wins a tie. A view into `names`.
std::string_view nearest_name(std::string_view written, const std::vector<std::string>& names);

}  // namespace saola::config
