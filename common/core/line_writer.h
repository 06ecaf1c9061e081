// LineWriter: lines from threads that must not block, written to an outlet by one thread of its
// own.
//
// A line is taken or dropped at once; what waits is bounded in bytes. Each flush is one system call
// of whole lines (into pipes, which other processes may share, one for every 4 KiB: log_outlet.h).
// A full pipe or disk, or a server that is away, makes the writer thread wait, never the caller;
// what is lost is counted, and a line saying how many were dropped is written when the outlet takes
// lines again.
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
#include <utility>

#include "common/core/log_writer.h"
#include "common/core/unique_fd.h"

namespace saola {

class LineWriter final : public LogWriter {
 public:
  // `capacity_bytes` is what may wait.
  explicit LineWriter(std::unique_ptr<LogOutlet> outlet, RecordStyle style = {},
                      std::size_t capacity_bytes = std::size_t{1} << 20, DropNote note = nullptr);
  // Takes `fd`; text as it comes.
  explicit LineWriter(UniqueFd fd, std::size_t capacity_bytes = std::size_t{1} << 20,
                      DropNote note = nullptr);
  // Gives the thread at most `kCloseGrace` to write what waits, then leaves it behind.
  ~LineWriter() override;

  // Several whole lines at once are fine as well: they are taken or dropped together.
  void write_line(std::string_view line) override;
  void write_record(const LogRecord& record) override;

  void replace(std::unique_ptr<LogOutlet> outlet) override;
  void replace_fd(UniqueFd fd) { replace(make_file_outlet(std::move(fd))); }
  void set_style(RecordStyle style, DropNote note) override;
  bool drain(std::chrono::milliseconds limit) override;
  std::uint64_t dropped_lines() const override { return dropped_.load(std::memory_order_relaxed); }

  static constexpr std::chrono::milliseconds kCloseGrace{500};

 private:
  void take(std::string_view bytes, std::size_t lines);

  struct State;  // shared with the thread, which may outlive *this when its write(2) never returns
  std::shared_ptr<State> state_;
  std::atomic<std::uint64_t>& dropped_;
};

}  // namespace saola
