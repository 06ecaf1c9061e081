// MetricStore: named series of numbers in a sealed memory file that outlives the processes that
// write them. A counter never goes backwards because a process has ended: its successor finds the
// same series under the same key and goes on.
//
// Any number of processes write and read at once, without locks. A series is looked up once and
// then is a pointer to its words: counting is one relaxed atomic addition. Series are never
// removed; the file has a fixed size, and what does not fit is counted and goes nowhere. A writer
// that is killed at any instruction leaves at worst a few bytes unused: a series exists from the
// one store of its offset into the index.
//
// Whoever writes may be broken or hostile: readers check every offset and size, and copy a key
// before they look at it.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/core/result.h"
#include "common/core/unique_fd.h"

namespace saola::metrics {

// How the words of a series read. Part of its identity.
enum class SeriesKind : std::uint16_t {
  kCounter = 1,        // one count
  kNanoseconds = 2,    // one count of nanoseconds
  kGauge = 3,          // one double, by its bits
  kTimeHistogram = 4,  // a count per bucket, the last without a bound; then the sum in ns
  kReal = 5,           // one double that is added to, by its bits
};

using Word = std::atomic<std::uint64_t>;
static_assert(Word::is_always_lock_free && sizeof(Word) == sizeof(std::uint64_t));

struct SeriesView {
  SeriesKind kind;
  std::string key;  // opaque to the store (series_key.h)
  std::vector<std::uint64_t> words;
};

class MetricStore {
 public:
  static constexpr std::size_t kMostWords = 64;
  static constexpr std::size_t kMostKeyBytes = 4096;
  static constexpr std::size_t kLeastBytes = 16 * 1024;
  static constexpr std::size_t kMostBytes = std::size_t{1} << 30U;

  // `bytes` is rounded up to a page; only what is used takes memory.
  static Result<UniqueFd> create_file(std::size_t bytes);
  // Fails if the file is not one of create_file(), also of another version of it.
  static Result<MetricStore> map(const UniqueFd& file);
  static Result<MetricStore> map_to_read(const UniqueFd& file);

  MetricStore(MetricStore&& other) noexcept;
  MetricStore& operator=(MetricStore&& other) noexcept;
  ~MetricStore();

  // The words of a series, made if it is not there: zero. Valid as long as the store. Empty if it
  // does not fit, which refused() counts.
  std::span<Word> find_or_add(SeriesKind kind, std::string_view key, std::size_t words);

  // Every series, in no order. What is not a series of this store's making is skipped.
  void for_each(const std::function<void(const SeriesView&)>& visit) const;

  std::uint64_t refused() const;
  std::size_t used_bytes() const;
  std::size_t total_bytes() const { return bytes_; }

 private:
  struct Header;
  struct Record;

  MetricStore(std::byte* memory, std::size_t bytes) : memory_(memory), bytes_(bytes) {}
  static Result<MetricStore> map_with(const UniqueFd& file, int protection);

  Header& header() const;
  std::span<Word> index() const;
  std::size_t heap_start() const;
  // Null if no whole record lies there.
  Record* record_at(std::uint64_t offset) const;
  std::span<Word> words_of(Record& record) const;
  std::optional<std::uint64_t> make_record(SeriesKind kind, std::string_view key,
                                           std::size_t words);
  bool is_series(std::uint64_t entry, std::uint64_t tag, SeriesKind kind, std::string_view key,
                 std::size_t words) const;

  std::byte* memory_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace saola::metrics
