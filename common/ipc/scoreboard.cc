#include "common/ipc/scoreboard.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <utility>

namespace saola::ipc {
namespace {

constexpr std::size_t kBytes = Scoreboard::kSlots * sizeof(WorkerSlot);

}  // namespace

Result<UniqueFd> Scoreboard::create_file() {
  UniqueFd file(::memfd_create("saola-scoreboard", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!file) return Unexpected{system_error("memfd_create", errno)};
  if (::ftruncate(file.get(), static_cast<off_t>(kBytes)) != 0 ||
      ::fcntl(file.get(), F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) != 0) {
    return Unexpected{system_error("size the scoreboard", errno)};
  }
  return file;
}

Result<Scoreboard> Scoreboard::map(const UniqueFd& file) {
  struct stat info {};
  if (::fstat(file.get(), &info) != 0) return Unexpected{system_error("fstat", errno)};
  if (info.st_size != static_cast<off_t>(kBytes)) return fail("scoreboard of an impossible size");
  void* memory = ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
  if (memory == MAP_FAILED) return Unexpected{system_error("map the scoreboard", errno)};
  // Fresh pages are zero, which is a valid state of every word (WorkerPhase::kEmpty).
  return Scoreboard(static_cast<WorkerSlot*>(memory));
}

Scoreboard::Scoreboard(Scoreboard&& other) noexcept
    : slots_(std::exchange(other.slots_, nullptr)) {}

Scoreboard& Scoreboard::operator=(Scoreboard&& other) noexcept {
  std::swap(slots_, other.slots_);
  return *this;
}

Scoreboard::~Scoreboard() {
  if (slots_ != nullptr) ::munmap(slots_, kBytes);
}

WorkerSlot& Scoreboard::slot(std::size_t index) {
  SAOLA_CHECK(index < kSlots);
  return slots_[index];
}

}  // namespace saola::ipc
