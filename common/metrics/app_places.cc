#include "common/metrics/app_places.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <map>
#include <string>
#include <utility>

namespace saola::metrics {
namespace {

constexpr off_t kFoldByte = off_t{1} << 40;
constexpr off_t kFirstPlaceByte = kFoldByte + 1;
constexpr const char* kFolding = "folding";
constexpr int kAttempts = 4;

struct flock byte_lock(short type, off_t byte) {
  struct flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = byte;
  lock.l_len = 1;
  return lock;
}

bool try_lock(const UniqueFd& file, off_t byte) {
  struct flock lock = byte_lock(F_WRLCK, byte);
  return ::fcntl(file.get(), F_SETLK, &lock) == 0;
}

bool is_locked(const UniqueFd& file, off_t byte) {
  struct flock lock = byte_lock(F_WRLCK, byte);
  return ::fcntl(file.get(), F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

// While it lives nobody else folds. Odd in the store: somebody does, or was killed doing it.
class FoldLock {
 public:
  static Result<FoldLock> wait_for(MetricStore& store, const UniqueFd& file) {
    struct flock lock = byte_lock(F_WRLCK, kFoldByte);
    while (::fcntl(file.get(), F_SETLKW, &lock) != 0) {
      if (errno != EINTR) return Unexpected{system_error("lock the store of metrics", errno)};
    }
    const auto words = store.find_or_add(SeriesKind::kCounter, encode_mark(kFolding), 1);
    if (!words.empty()) words[0].fetch_or(1, std::memory_order_seq_cst);
    return FoldLock(file, words.empty() ? nullptr : words.data());
  }
  FoldLock(FoldLock&& other) noexcept
      : file_(std::exchange(other.file_, nullptr)), turn_(other.turn_) {}
  FoldLock& operator=(FoldLock&&) = delete;
  ~FoldLock() {
    if (file_ == nullptr) return;
    if (turn_ != nullptr) turn_->fetch_add(1, std::memory_order_seq_cst);
    struct flock lock = byte_lock(F_UNLCK, kFoldByte);
    ::fcntl(file_->get(), F_SETLK, &lock);  // cannot fail: it makes one range smaller
  }

 private:
  FoldLock(const UniqueFd& file, Word* turn) : file_(&file), turn_(turn) {}
  const UniqueFd* file_;
  Word* turn_;
};

std::span<Word> gauge_words(MetricStore& store, const AppValueKey& key) {
  return store.find_or_add(SeriesKind::kGauge, encode_value(key), kGaugeWords);
}

void fold_smaller(Word& into, std::uint64_t left, bool smaller) {
  const std::uint64_t before = into.load(std::memory_order_relaxed);
  const double mine = real_of(left);
  const double theirs = real_of(before);
  if (before == kAbsent || (smaller ? mine < theirs : mine > theirs)) {
    into.store(left, std::memory_order_relaxed);
  }
}

// What a dead process left, to what the dead before it left.
void fold(std::span<Word> into, std::span<Word> from, GaugeMode::Fold how) {
  const std::uint64_t left = from[0].load(std::memory_order_relaxed);
  switch (how) {
    case GaugeMode::Fold::kAll:
      break;
    case GaugeMode::Fold::kMin:
      fold_smaller(into[0], left, true);
      break;
    case GaugeMode::Fold::kMax:
      fold_smaller(into[0], left, false);
      break;
    case GaugeMode::Fold::kSum:
      from[0].store(kAbsent, std::memory_order_relaxed);  // rather lost than counted twice
      add_real(into[0], real_of(left));
      break;
    case GaugeMode::Fold::kMostRecent: {
      const std::uint64_t stamp = from[1].load(std::memory_order_relaxed);
      if (into[0].load(std::memory_order_relaxed) != kAbsent &&
          real_of(stamp) <= real_of(into[1].load(std::memory_order_relaxed))) {
        break;
      }
      into[0].store(left, std::memory_order_relaxed);
      into[1].store(stamp, std::memory_order_release);
      break;
    }
  }
}

struct Left {
  std::vector<AppValueKey> gauges;
  std::map<std::string, GaugeMode> modes;  // of the newest registration
};

Left left_at(const MetricStore& store, std::uint32_t place) {
  Left left;
  std::map<std::string, std::uint64_t> newest;
  store.for_each([&](const SeriesView& view) {
    auto key = decode_app_series(view.key);
    if (!key) return;
    if (auto* value = std::get_if<AppValueKey>(&*key)) {
      const bool there = view.words.size() == kGaugeWords && view.words[0] != kAbsent;
      if (value->holder == Holder(place) && there) left.gauges.push_back(std::move(*value));
    } else if (const auto* family = std::get_if<AppFamilyKey>(&*key)) {
      if (auto& when = newest[family->name]; view.words[0] >= when) {
        when = view.words[0];
        left.modes[family->name] = family->mode;
      }
    }
  });
  return left;
}

void fold_place(MetricStore& store, std::uint32_t place) {
  Left left = left_at(store, place);
  for (AppValueKey& key : left.gauges) {
    const auto from = gauge_words(store, key);
    if (from.empty()) continue;
    const auto mode = left.modes.find(key.family);
    if (mode != left.modes.end() && !mode->second.live &&
        mode->second.fold != GaugeMode::Fold::kAll) {
      key.holder = mode->second;
      const std::uint64_t refused = store.refused();
      const auto into = gauge_words(store, key);
      if (into.empty() || store.refused() != refused) continue;  // no room: it stays where it is
      fold(into, from, mode->second.fold);
    }
    from[0].store(kAbsent, std::memory_order_relaxed);
  }
}

std::uint64_t turn_of(const MetricStore& store) {
  std::uint64_t turn = 0;
  const std::string mark = encode_mark(kFolding);
  store.for_each([&](const SeriesView& view) {
    if (view.key == mark) turn = view.words[0];
  });
  return turn;
}

bool has_its_words(const AppSeriesKey& key, const SeriesView& view) {
  const auto* value = std::get_if<AppValueKey>(&key);
  const bool gauge = value != nullptr && value->type == AppMetricType::kGauge;
  return view.words.size() == (gauge ? kGaugeWords : 1);
}

}  // namespace

Result<std::uint32_t> take_place(MetricStore& store, const UniqueFd& file) {
  auto folding = FoldLock::wait_for(store, file);
  if (!folding) return Unexpected{folding.error()};
  for (std::uint32_t place = 0; place < kMostPlaces; ++place) {
    if (!try_lock(file, kFirstPlaceByte + place)) continue;
    const auto words = store.find_or_add(SeriesKind::kGauge, encode_place({place}), 1);
    if (words.empty()) return fail("there is no room in the store of metrics");
    fold_place(store, place);
    words[0].store(static_cast<std::uint64_t>(::getpid()), std::memory_order_relaxed);
    return place;
  }
  return fail("too many processes have gauges");
}

AppContents read_app_series(const MetricStore& store, const UniqueFd& file,
                            std::optional<std::uint32_t> own) {
  AppContents contents;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    contents = {};
    const std::uint64_t turn = turn_of(store);
    store.for_each([&](const SeriesView& view) {
      auto key = decode_app_series(view.key);
      if (!key || !has_its_words(*key, view)) return;
      if (const auto* place = std::get_if<AppPlaceKey>(&*key)) {
        const bool live =
            own == place->number ||
            (place->number < kMostPlaces && is_locked(file, kFirstPlaceByte + place->number));
        if (live) contents.live.insert(place->number);
      }
      contents.series.push_back({*std::move(key), view.words});
    });
    if (turn % 2 == 0 && turn == turn_of(store)) break;
  }
  return contents;
}

}  // namespace saola::metrics
