// exposable(): what an application calls things, made fit for the text format.
#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "common/core/utf8.h"
#include "common/metrics/app_metrics.h"

namespace saola::metrics {
namespace {

constexpr std::string_view kOurs = "saola_";
constexpr std::string_view kApp = "app";
constexpr std::string_view kTheirApp = "exported_app";     // what scrapers call such labels
constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

bool is_name_character(char c, bool first, bool colon) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (colon && c == ':') ||
         (!first && c >= '0' && c <= '9');
}

// As prometheus_client's escaping "underscores" does it: one "_" for each character.
std::string classic_name(std::string_view name, bool colon) {
  std::string out;
  while (!name.empty()) {
    const bool good = is_name_character(name[0], out.empty(), colon);
    out += good ? name[0] : '_';
    name.remove_prefix(std::max<std::size_t>(1, utf8_sequence_length(name)));
  }
  return out;
}

// Parsers may take a NUL for the end of the text.
std::string valid_text(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::size_t length = text[0] == '\0' ? 0 : utf8_sequence_length(text);
    out += length == 0 ? kReplacement : text.substr(0, length);
    text.remove_prefix(std::max<std::size_t>(1, length));
  }
  return out;
}

// All names that a family puts into the text.
std::vector<std::string> names_of(const AppFamily& family) {
  if (family.type == AppMetricType::kHistogram) {
    return {family.name, family.name + "_bucket", family.name + "_sum", family.name + "_count"};
  }
  if (family.type == AppMetricType::kSummary) {
    return {family.name, family.name + "_sum", family.name + "_count"};
  }
  return {family.name};
}

// Reserved names are the server's that scrapes; `le` and `quantile` the format's own.
bool is_reserved(std::string_view label, AppMetricType type) {
  return label.empty() || label.starts_with("__") ||
         (type == AppMetricType::kHistogram && label == "le") ||
         (type == AppMetricType::kSummary && label == "quantile");
}

bool make_labels_fit(Labels& labels, AppMetricType type, const std::string& app) {
  for (auto& [label, value] : labels) {
    label = classic_name(label, false);
    if (label == kApp) label = kTheirApp;
    value = valid_text(value);
    if (is_reserved(label, type)) return false;
  }
  labels.emplace_back(kApp, valid_text(app));
  std::sort(labels.begin(), labels.end());
  return std::adjacent_find(labels.begin(), labels.end(), [](const auto& one, const auto& other) {
           return one.first == other.first;
         }) == labels.end();
}

class Exposition {
 public:
  void add(const std::string& app, AppMetrics metrics) {
    dropped_ += metrics.dropped;
    for (AppFamily& family : metrics.families) {
      if (!family.samples.empty()) add(app, std::move(family));
    }
  }

  AppMetrics take() {
    AppMetrics out;
    out.dropped = dropped_;
    for (auto& [name, entry] : families_) {
      if (!entry.family.samples.empty()) out.families.push_back(std::move(entry.family));
    }
    return out;
  }

 private:
  struct Entry {
    AppFamily family;
    std::string app;  // that was last added
    std::set<Labels> seen;
  };

  void add(const std::string& app, AppFamily family) {
    family.name = classic_name(family.name, true);
    if (family.type == AppMetricType::kCounter) family.name += "_total";
    Entry* entry = entry_for(app, family);
    if (entry == nullptr) {
      dropped_ += family.samples.size();
      return;
    }
    for (AppSample& sample : family.samples) {
      if (make_labels_fit(sample.labels, family.type, app) &&
          entry->seen.insert(sample.labels).second) {
        entry->family.samples.push_back(std::move(sample));
      } else {
        ++dropped_;
      }
    }
  }

  // Null: it must not be shown.
  Entry* entry_for(const std::string& app, const AppFamily& family) {
    if (family.name.empty() || family.name.starts_with(kOurs)) return nullptr;
    if (const auto found = families_.find(family.name); found != families_.end()) {
      Entry& entry = found->second;
      // Two of one app differ in characters that the classic format does not have.
      if (entry.family.type != family.type || entry.app == app) return nullptr;
      entry.app = app;
      return &entry;
    }
    const auto names = names_of(family);
    if (std::any_of(names.begin(), names.end(),
                    [&](const std::string& name) { return taken_.contains(name); })) {
      return nullptr;
    }
    taken_.insert(names.begin(), names.end());
    Entry& entry = families_[family.name];
    entry.family = {family.name, family.type, valid_text(family.help), {}};
    entry.app = app;
    return &entry;
  }

  std::map<std::string, Entry> families_;
  std::set<std::string> taken_;  // names in the text
  std::uint64_t dropped_ = 0;
};

}  // namespace

AppMetrics exposable(std::map<std::string, AppMetrics> apps) {
  Exposition exposition;
  for (auto& [app, metrics] : apps) exposition.add(app, std::move(metrics));
  return exposition.take();
}

}  // namespace saola::metrics
