#include "common/metrics/app_series.h"

#include <array>
#include <charconv>

#include "common/metrics/series_key.h"

namespace saola::metrics {
namespace {

constexpr std::string_view kFamily = "family";
constexpr std::string_view kValue = "value";
constexpr std::string_view kPlace = "place";
constexpr std::string_view kMark = "mark";
constexpr std::string_view kLive = "live";

constexpr std::array<std::string_view, 4> kTypes = {"counter", "gauge", "histogram", "summary"};
constexpr std::array<std::string_view, 5> kFolds = {"all", "min", "max", "sum", "mostrecent"};

std::optional<std::uint32_t> parse_number(std::string_view text) {
  std::uint32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

// Not within a character.
std::string_view cut(std::string_view text, std::size_t most) {
  if (text.size() <= most) return text;
  while (most > 0 && (static_cast<unsigned char>(text[most]) & 0xC0U) == 0x80) --most;
  return text.substr(0, most);
}

std::string holder_text(const Holder& holder) {
  if (const auto* place = std::get_if<std::uint32_t>(&holder)) return std::to_string(*place);
  if (const auto* mode = std::get_if<GaugeMode>(&holder)) return mode_name(*mode);
  return {};
}

std::optional<Holder> parse_holder(AppMetricType type, std::string_view text) {
  if (type != AppMetricType::kGauge) {
    return text.empty() ? std::optional<Holder>(std::monostate()) : std::nullopt;
  }
  if (const auto place = parse_number(text)) return *place;
  if (const auto mode = parse_mode(text)) return *mode;
  return std::nullopt;
}

std::optional<AppSeriesKey> decode_family(SeriesKey& key) {
  if (key.labels.size() != 2) return std::nullopt;
  const auto type = parse_type(key.labels[1].first);
  const auto mode = parse_mode(key.labels[1].second);
  if (!type || !mode) return std::nullopt;
  return AppFamilyKey{std::move(key.labels[0].first), *type, *mode,
                      std::move(key.labels[0].second)};
}

std::optional<AppSeriesKey> decode_value(SeriesKey& key) {
  if (key.labels.size() < 2) return std::nullopt;
  const auto type = parse_type(key.labels[0].first);
  if (!type) return std::nullopt;
  const auto holder = parse_holder(*type, key.labels[1].second);
  if (!holder) return std::nullopt;
  AppValueKey value{
      *type, std::move(key.labels[0].second), std::move(key.labels[1].first), *holder, {}};
  value.labels.assign(std::make_move_iterator(key.labels.begin() + 2),
                      std::make_move_iterator(key.labels.end()));
  return value;
}

}  // namespace

std::string_view type_name(AppMetricType type) { return kTypes.at(static_cast<std::size_t>(type)); }

std::optional<AppMetricType> parse_type(std::string_view text) {
  for (std::size_t i = 0; i < kTypes.size(); ++i) {
    if (kTypes.at(i) == text) return static_cast<AppMetricType>(i);
  }
  return std::nullopt;
}

std::string mode_name(GaugeMode mode) {
  return std::string(mode.live ? kLive : "").append(kFolds.at(static_cast<std::size_t>(mode.fold)));
}

std::optional<GaugeMode> parse_mode(std::string_view text) {
  GaugeMode mode;
  if (text.starts_with(kLive)) {
    mode.live = true;
    text.remove_prefix(kLive.size());
  }
  for (std::size_t i = 0; i < kFolds.size(); ++i) {
    if (kFolds.at(i) != text) continue;
    mode.fold = static_cast<GaugeMode::Fold>(i);
    return mode;
  }
  return std::nullopt;
}

std::string encode_family(const AppFamilyKey& key) {
  const std::string mode = mode_name(key.mode);
  return encode_key(kFamily,
                    {{key.name, cut(key.help, kMostHelpBytes)}, {type_name(key.type), mode}});
}

std::string encode_value(const AppValueKey& key) {
  const std::string holder = holder_text(key.holder);
  std::vector<LabelView> labels = {{type_name(key.type), key.family}, {key.sample, holder}};
  labels.insert(labels.end(), key.labels.begin(), key.labels.end());
  return encode_key(kValue, labels);
}

std::string encode_place(AppPlaceKey key) {
  const std::string number = std::to_string(key.number);
  return encode_key(kPlace, {{number, {}}});
}

std::string encode_mark(std::string_view name) { return encode_key(kMark, {{name, {}}}); }

std::optional<AppSeriesKey> decode_app_series(std::string_view text) {
  auto key = decode_key(text);
  if (!key) return std::nullopt;
  if (key->name == kFamily) return decode_family(*key);
  if (key->name == kValue) return decode_value(*key);
  if (key->name != kPlace || key->labels.size() != 1) return std::nullopt;
  const auto number = parse_number(key->labels[0].first);
  if (!number) return std::nullopt;
  return AppPlaceKey{*number};
}

}  // namespace saola::metrics
