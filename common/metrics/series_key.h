// The key of a series in a MetricStore: a metric's name and its labels. Pure.
#pragma once

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace saola::metrics {

using LabelView = std::pair<std::string_view, std::string_view>;

struct SeriesKey {
  std::string name;
  std::vector<std::pair<std::string, std::string>> labels;  // in the order of encode_key()
  bool operator==(const SeriesKey&) const = default;
};

// Fields longer than 65,535 bytes are cut.
std::string encode_key(std::string_view name, std::initializer_list<LabelView> labels);
std::string encode_key(std::string_view name, const std::vector<LabelView>& labels);

// Nothing if it is not a key.
std::optional<SeriesKey> decode_key(std::string_view text);

}  // namespace saola::metrics
