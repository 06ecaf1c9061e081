// LineWriter: lines from threads that must not block, written to a file by one thread of its own.
//
// A line is taken or dropped at once; what waits is bounded in bytes. Each flush is one write(2) of
// whole lines (into pipes and sockets, which other processes may share, one for every 4 KiB of
// whole lines: the kernel keeps those in one piece). A full pipe or disk makes the writer thread
// wait or fail, never the caller; what is lost is counted, and a line saying how many were dropped
// is written when the file takes lines again. Never sets O_NONBLOCK: an inherited standard output
// is shared with other processes.
//
// The thread gathers for some milliseconds before it writes, so that under load a line costs its
// caller a mutex and a copy, and no system call.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "common/core/log.h"
#include "common/core/unique_fd.h"

namespace saola {

class LineWriter final : public LogSink {
 public:
  // Makes the line (with "\n") that reports `lines` dropped ones, in the file's own format.
  using DropNote = std::string (*)(std::uint64_t lines);
  // "2026-01-31T08:15:42.123Z warning log: 17 lines dropped: the log was not written fast enough"
  static std::string plain_drop_note(std::uint64_t lines);

  // Takes `fd`. `capacity_bytes` is what may wait.
  explicit LineWriter(UniqueFd fd, std::size_t capacity_bytes = std::size_t{1} << 20,
                      DropNote drop_note = plain_drop_note);
  // Gives the thread at most `kCloseGrace` to write what waits, then leaves it behind.
  ~LineWriter() override;

  // Several whole lines at once are fine as well: they are taken or dropped together.
  void write_line(std::string_view line) override;

  // Writes go to `fd` from the next flush on (log rotation).
  void replace_fd(UniqueFd fd);

  std::uint64_t dropped_lines() const { return dropped_.load(std::memory_order_relaxed); }

  // Waits until everything taken before the call is written, or `limit` has passed; says which.
  bool drain(std::chrono::milliseconds limit);

  static constexpr std::chrono::milliseconds kCloseGrace{500};

 private:
  struct State;  // shared with the thread, which may outlive *this when its write(2) never returns
  std::shared_ptr<State> state_;
  std::atomic<std::uint64_t>& dropped_;
};

}  // namespace saola
