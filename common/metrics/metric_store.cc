#include "common/metrics/metric_store.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <utility>

namespace saola::metrics {
namespace {

constexpr std::uint64_t kMagic = 0x3145524f54534d53;  // "SMSTORE1"
constexpr std::size_t kBytesPerIndexEntry = 128;
constexpr std::size_t kAlignment = 8;
// A series lies at most so far from where its hash points: a full index is not searched to its end
// by all that do not fit.
constexpr std::size_t kMostSteps = 256;

// FNV-1a: the same in every build, for the file outlives them.
std::uint64_t hash_of(SeriesKind kind, std::string_view key) {
  constexpr std::uint64_t kPrime = 0x100000001b3;
  std::uint64_t hash = 0xcbf29ce484222325;
  hash = (hash ^ static_cast<std::uint64_t>(kind)) * kPrime;
  for (const char c : key) hash = (hash ^ static_cast<unsigned char>(c)) * kPrime;
  return hash;
}

// An entry of the index: the offset of a record in units of kAlignment, under a tag of its hash.
// 0: none.
constexpr unsigned kTagShift = 32;
std::uint64_t tag_of(std::uint64_t hash) { return hash >> kTagShift; }
std::uint64_t entry_of(std::uint64_t tag, std::uint64_t offset) {
  return tag << kTagShift | offset / kAlignment;
}
std::uint64_t offset_of(std::uint64_t entry) { return (entry & 0xffffffffU) * kAlignment; }

std::size_t aligned(std::size_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

std::size_t index_entries(std::size_t bytes) {
  return std::bit_floor(std::max<std::size_t>(64, bytes / kBytesPerIndexEntry));
}

}  // namespace

struct MetricStore::Header {
  std::uint64_t magic;
  std::uint64_t bytes;
  Word used;  // offset of the first free byte
  Word refused;
};

struct MetricStore::Record {
  std::uint32_t key_bytes;
  std::uint16_t kind;
  std::uint16_t words;
  // Then the words, then the key.
};

Result<UniqueFd> MetricStore::create_file(std::size_t bytes) {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  bytes = std::clamp(bytes, kLeastBytes, kMostBytes);
  bytes = (bytes + page - 1) / page * page;
  UniqueFd file(::memfd_create("saola-metrics", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!file) return Unexpected{system_error("memfd_create", errno)};
  Header header{kMagic, bytes, 0, 0};
  header.used = sizeof(Header) + index_entries(bytes) * sizeof(Word);
  if (::ftruncate(file.get(), static_cast<off_t>(bytes)) != 0 ||
      ::pwrite(file.get(), &header, sizeof(header), 0) != ssize_t{sizeof(header)} ||
      ::fcntl(file.get(), F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) != 0) {
    return Unexpected{system_error("size the store of metrics", errno)};
  }
  return file;
}

Result<MetricStore> MetricStore::map(const UniqueFd& file) {
  return map_with(file, PROT_READ | PROT_WRITE);
}

Result<MetricStore> MetricStore::map_to_read(const UniqueFd& file) {
  return map_with(file, PROT_READ);
}

Result<MetricStore> MetricStore::map_with(const UniqueFd& file, int protection) {
  struct stat info {};
  if (::fstat(file.get(), &info) != 0) return Unexpected{system_error("fstat", errno)};
  const auto bytes = static_cast<std::size_t>(info.st_size);
  if (bytes < kLeastBytes || bytes > kMostBytes) {
    return fail("a store of metrics of an impossible size");
  }
  void* memory = ::mmap(nullptr, bytes, protection, MAP_SHARED, file.get(), 0);
  if (memory == MAP_FAILED) return Unexpected{system_error("map the store of metrics", errno)};
  MetricStore store(static_cast<std::byte*>(memory), bytes);
  if (store.header().magic != kMagic || store.header().bytes != bytes) {
    return fail("not a store of metrics of this version");
  }
  return store;
}

MetricStore::MetricStore(MetricStore&& other) noexcept
    : memory_(std::exchange(other.memory_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}

MetricStore& MetricStore::operator=(MetricStore&& other) noexcept {
  std::swap(memory_, other.memory_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

MetricStore::~MetricStore() {
  if (memory_ != nullptr) ::munmap(memory_, bytes_);
}

MetricStore::Header& MetricStore::header() const { return *reinterpret_cast<Header*>(memory_); }

std::span<Word> MetricStore::index() const {
  return {reinterpret_cast<Word*>(memory_ + sizeof(Header)), index_entries(bytes_)};
}

std::size_t MetricStore::heap_start() const {
  return sizeof(Header) + index_entries(bytes_) * sizeof(Word);
}

MetricStore::Record* MetricStore::record_at(std::uint64_t offset) const {
  if (offset < heap_start() || offset > bytes_ - sizeof(Record)) return nullptr;
  auto* record = reinterpret_cast<Record*>(memory_ + offset);
  if (record->words == 0 || record->words > kMostWords || record->key_bytes > kMostKeyBytes) {
    return nullptr;
  }
  const std::size_t size =
      sizeof(Record) + record->words * sizeof(Word) + std::size_t{record->key_bytes};
  return size <= bytes_ - offset ? record : nullptr;
}

std::span<Word> MetricStore::words_of(Record& record) const {
  return {reinterpret_cast<Word*>(&record + 1), record.words};
}

bool MetricStore::is_series(std::uint64_t entry, std::uint64_t tag, SeriesKind kind,
                            std::string_view key, std::size_t words) const {
  if (entry >> kTagShift != tag) return false;
  Record* record = record_at(offset_of(entry));
  if (record == nullptr || record->kind != static_cast<std::uint16_t>(kind) ||
      record->words != words || record->key_bytes != key.size()) {
    return false;
  }
  const char* stored = reinterpret_cast<const char*>(words_of(*record).data() + words);
  return std::memcmp(stored, key.data(), key.size()) == 0;
}

std::optional<std::uint64_t> MetricStore::make_record(SeriesKind kind, std::string_view key,
                                                      std::size_t words) {
  const std::size_t size = aligned(sizeof(Record) + words * sizeof(Word) + key.size());
  std::uint64_t offset = header().used.load(std::memory_order_relaxed);
  do {
    if (offset % kAlignment != 0 || offset < heap_start() || offset > bytes_ ||
        size > bytes_ - offset) {
      return std::nullopt;
    }
  } while (!header().used.compare_exchange_weak(offset, offset + size, std::memory_order_relaxed));
  auto* record = reinterpret_cast<Record*>(memory_ + offset);
  record->kind = static_cast<std::uint16_t>(kind);
  record->words = static_cast<std::uint16_t>(words);
  record->key_bytes = static_cast<std::uint32_t>(key.size());
  auto* stored = reinterpret_cast<std::byte*>(words_of(*record).data() + words);
  std::memcpy(stored, key.data(), key.size());
  return offset;
}

std::span<Word> MetricStore::find_or_add(SeriesKind kind, std::string_view key, std::size_t words) {
  SAOLA_CHECK(words > 0 && words <= kMostWords);
  const std::uint64_t hash = hash_of(kind, key);
  const std::span<Word> entries = index();
  std::optional<std::uint64_t> made;
  if (key.size() <= kMostKeyBytes) {
    for (std::size_t step = 0; step < std::min(kMostSteps, entries.size()); ++step) {
      Word& place = entries[(hash + step) % entries.size()];
      std::uint64_t entry = place.load(std::memory_order_acquire);
      if (entry == 0) {
        if (!made) made = make_record(kind, key, words);
        if (!made) break;
        const std::uint64_t mine = entry_of(tag_of(hash), *made);
        if (place.compare_exchange_strong(entry, mine, std::memory_order_acq_rel)) entry = mine;
      }
      if (is_series(entry, tag_of(hash), kind, key, words)) {
        return {reinterpret_cast<Word*>(memory_ + offset_of(entry) + sizeof(Record)), words};
      }
    }
  }
  header().refused.fetch_add(1, std::memory_order_relaxed);
  return {};
}

void MetricStore::for_each(const std::function<void(const SeriesView&)>& visit) const {
  for (const Word& place : index()) {
    const std::uint64_t entry = place.load(std::memory_order_acquire);
    Record* record = entry == 0 ? nullptr : record_at(offset_of(entry));
    if (record == nullptr) continue;
    // Sizes are read once: they could change under a hostile writer.
    const Record sizes = *record;
    if (sizes.words == 0 || sizes.words > kMostWords || sizes.key_bytes > kMostKeyBytes) continue;
    const std::size_t size = sizeof(Record) + sizes.words * sizeof(Word) + sizes.key_bytes;
    if (size > bytes_ - offset_of(entry)) continue;
    const Word* words = reinterpret_cast<const Word*>(record + 1);
    SeriesView view{static_cast<SeriesKind>(sizes.kind), {}, {}};
    view.words.reserve(sizes.words);
    for (std::size_t i = 0; i < sizes.words; ++i) {
      view.words.push_back(words[i].load(std::memory_order_relaxed));
    }
    view.key.assign(reinterpret_cast<const char*>(words + sizes.words), sizes.key_bytes);
    visit(view);
  }
}

std::uint64_t MetricStore::refused() const {
  return header().refused.load(std::memory_order_relaxed);
}

std::size_t MetricStore::used_bytes() const {
  return static_cast<std::size_t>(
      std::min<std::uint64_t>(header().used.load(std::memory_order_relaxed), bytes_));
}

}  // namespace saola::metrics
