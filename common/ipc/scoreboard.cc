#include "common/ipc/scoreboard.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "common/core/check.h"

namespace saola::ipc {
namespace {

// One for each worker, then the server's.
constexpr std::size_t kPages = Scoreboard::kSlots + 1;
constexpr std::size_t kServerPage = Scoreboard::kSlots;

std::size_t page_size() {
  static const auto size = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  return size;
}

}  // namespace

Result<UniqueFd> Scoreboard::create_file() {
  UniqueFd file(::memfd_create("saola-scoreboard", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!file) return Unexpected{system_error("memfd_create", errno)};
  // Pages that nobody has touched take no memory.
  if (::ftruncate(file.get(), static_cast<off_t>(kPages * page_size())) != 0 ||
      ::fcntl(file.get(), F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) != 0) {
    return Unexpected{system_error("size the scoreboard", errno)};
  }
  return file;
}

Result<Scoreboard> Scoreboard::map(const UniqueFd& file) { return map_pages(file, 0, kPages); }

Result<Scoreboard> Scoreboard::map_slot(const UniqueFd& file, std::size_t index) {
  if (index >= kSlots) return fail("no such scoreboard slot");
  return map_pages(file, index, 1);
}

Result<Scoreboard> Scoreboard::map_server(const UniqueFd& file) {
  return map_pages(file, kServerPage, 1);
}

Result<Scoreboard> Scoreboard::map_pages(const UniqueFd& file, std::size_t first,
                                         std::size_t pages) {
  struct stat info {};
  if (::fstat(file.get(), &info) != 0) return Unexpected{system_error("fstat", errno)};
  if (info.st_size != static_cast<off_t>(kPages * page_size())) {
    return fail("scoreboard of an impossible size");
  }
  void* memory = ::mmap(nullptr, pages * page_size(), PROT_READ | PROT_WRITE, MAP_SHARED,
                        file.get(), static_cast<off_t>(first * page_size()));
  if (memory == MAP_FAILED) return Unexpected{system_error("map the scoreboard", errno)};
  // Fresh pages are zero, which is a valid state of every word (WorkerPhase::kEmpty).
  return Scoreboard(static_cast<char*>(memory), first, pages);
}

Scoreboard::Scoreboard(Scoreboard&& other) noexcept
    : memory_(std::exchange(other.memory_, nullptr)), first_(other.first_), pages_(other.pages_) {}

Scoreboard& Scoreboard::operator=(Scoreboard&& other) noexcept {
  std::swap(memory_, other.memory_);
  std::swap(first_, other.first_);
  std::swap(pages_, other.pages_);
  return *this;
}

Scoreboard::~Scoreboard() {
  if (memory_ != nullptr) ::munmap(memory_, pages_ * page_size());
}

char* Scoreboard::page(std::size_t index) {
  SAOLA_CHECK(memory_ != nullptr && index >= first_ && index - first_ < pages_);
  return memory_ + (index - first_) * page_size();
}

WorkerSlot& Scoreboard::slot(std::size_t index) {
  SAOLA_CHECK(index < kSlots);
  return *reinterpret_cast<WorkerSlot*>(page(index));
}

ServerRecord& Scoreboard::server() { return *reinterpret_cast<ServerRecord*>(page(kServerPage)); }

}  // namespace saola::ipc
