#include "common/metrics/series_key.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace saola::metrics {
namespace {

// Each field: its length in two bytes, the low one first, then its bytes.
constexpr std::size_t kMostFieldBytes = 0xffff;

void add_field(std::string& key, std::string_view field) {
  field = field.substr(0, kMostFieldBytes);
  key += static_cast<char>(field.size() & 0xffU);
  key += static_cast<char>(field.size() >> 8U);
  key += field;
}

std::optional<std::string_view> take_field(std::string_view& text) {
  if (text.size() < 2) return std::nullopt;
  const std::size_t size =
      static_cast<std::uint8_t>(text[0]) + std::size_t{static_cast<std::uint8_t>(text[1])} * 256;
  text.remove_prefix(2);
  if (size > text.size()) return std::nullopt;
  const std::string_view field = text.substr(0, size);
  text.remove_prefix(size);
  return field;
}

template <class Labels>
std::string encode(std::string_view name, const Labels& labels) {
  std::string key;
  add_field(key, name);
  for (const auto& [label, value] : labels) {
    add_field(key, label);
    add_field(key, value);
  }
  return key;
}

}  // namespace

std::string encode_key(std::string_view name, std::initializer_list<LabelView> labels) {
  return encode(name, labels);
}

std::string encode_key(std::string_view name, const std::vector<LabelView>& labels) {
  return encode(name, labels);
}

std::optional<SeriesKey> decode_key(std::string_view text) {
  SeriesKey key;
  const auto name = take_field(text);
  if (!name) return std::nullopt;
  key.name = *name;
  while (!text.empty()) {
    const auto label = take_field(text);
    const auto value = take_field(text);
    if (!label || !value) return std::nullopt;
    key.labels.emplace_back(*label, *value);
  }
  return key;
}

}  // namespace saola::metrics
