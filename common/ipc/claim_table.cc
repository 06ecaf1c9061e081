#include "common/ipc/claim_table.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <utility>

namespace saola::ipc {

static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

Result<UniqueFd> ClaimTable::create_file(std::size_t slots) {
  SAOLA_CHECK(slots > 0 && slots <= kMaxSlots);
  UniqueFd file(::memfd_create("saola-claims", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!file) return Unexpected{system_error("memfd_create", errno)};
  if (::ftruncate(file.get(), static_cast<off_t>(slots * sizeof(std::uint64_t))) != 0 ||
      ::fcntl(file.get(), F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) != 0) {
    return Unexpected{system_error("size a claim table", errno)};
  }
  return file;
}

Result<ClaimTable> ClaimTable::map(const UniqueFd& file) {
  struct stat info {};
  if (::fstat(file.get(), &info) != 0) return Unexpected{system_error("fstat", errno)};
  const auto slots = static_cast<std::size_t>(info.st_size) / sizeof(std::uint64_t);
  if (slots == 0 || slots > kMaxSlots) return fail("claim table of an impossible size");
  void* memory = ::mmap(nullptr, slots * sizeof(std::uint64_t), PROT_READ | PROT_WRITE, MAP_SHARED,
                        file.get(), 0);
  if (memory == MAP_FAILED) return Unexpected{system_error("map a claim table", errno)};
  return ClaimTable(static_cast<std::atomic<std::uint64_t>*>(memory), slots);
}

ClaimTable::ClaimTable(ClaimTable&& other) noexcept
    : words_(std::exchange(other.words_, nullptr)), slots_(std::exchange(other.slots_, 0)) {}

ClaimTable& ClaimTable::operator=(ClaimTable&& other) noexcept {
  std::swap(words_, other.words_);
  std::swap(slots_, other.slots_);
  return *this;
}

ClaimTable::~ClaimTable() {
  if (words_ != nullptr) ::munmap(words_, slots_ * sizeof(std::uint64_t));
}

}  // namespace saola::ipc
