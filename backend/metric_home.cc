#include "backend/metric_home.h"

#include <chrono>
#include <utility>

namespace saola::backend {
namespace {

using metrics::MetricStore;
using metrics::SeriesKind;
using metrics::Word;

Word* mark(MetricStore& store, const char* name) {
  const auto words = store.find_or_add(SeriesKind::kCounter, metrics::encode_mark(name), 1);
  return words.empty() ? nullptr : words.data();
}

std::uint64_t now_ns() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(std::chrono::nanoseconds(now).count());
}

}  // namespace

Result<MetricHome*> MetricHome::open(UniqueFd file, Logger log) {
  auto store = MetricStore::map(file);
  if (!store) return Unexpected{store.error()};
  return new MetricHome(*std::move(store), std::move(file), std::move(log));
}

MetricHome::MetricHome(MetricStore store, UniqueFd file, Logger log)
    : store_(std::move(store)), file_(std::move(file)), log_(std::move(log)) {
  warned_full_ = mark(store_, "warned of being full");
  warned_long_ = mark(store_, "warned of long labels");
}

void MetricHome::warn_once(Word* mark, const std::string& text) {
  if (mark == nullptr || mark->exchange(1, std::memory_order_relaxed) == 0) {
    log_.write(LogLevel::kWarning, text);
  }
}

std::span<Word> MetricHome::find(SeriesKind kind, const std::string& key, std::size_t words) {
  const auto found = store_.find_or_add(kind, key, words);
  if (!found.empty()) return found;
  const char* outcome =
      ": it counts in each worker for itself and is not in the totals (docs/app_metrics.md)";
  if (key.size() > MetricStore::kMostKeyBytes) {
    warn_once(warned_long_, "the labels of a metric are longer than " +
                                std::to_string(MetricStore::kMostKeyBytes) + " bytes" + outcome);
  } else {
    warn_once(warned_full_, "app.metrics_memory (" + std::to_string(store_.total_bytes() / 1024) +
                                "KiB) has no room for one more metric" + outcome);
  }
  return {};
}

bool MetricHome::note_family(const metrics::AppFamilyKey& key) {
  std::string text = metrics::encode_family(key);
  if (noted_.contains(text)) return true;
  const auto words = find(SeriesKind::kGauge, text, 1);
  if (words.empty()) return false;
  words[0].store(now_ns(), std::memory_order_relaxed);
  noted_.insert(std::move(text));
  return true;
}

Result<void> MetricHome::take_place() {
  auto place = metrics::take_place(store_, file_);
  if (!place) return Unexpected{place.error()};
  place_ = *place;
  return {};
}

metrics::AppContents MetricHome::contents() const {
  return metrics::read_app_series(store_, file_, place_);
}

}  // namespace saola::backend
