// LineWriter: lines from threads that must not block, written to a file by one thread of its own.
//
// A line is taken or dropped at once; what waits is bounded in bytes. Each flush is one write(2) of
// whole lines. A full pipe or disk makes the writer thread wait or fail, never the caller; what is
// lost is counted, and a line saying how many were dropped is written when the file takes lines
// again. Never sets O_NONBLOCK: an inherited standard output is shared with other processes.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include "common/core/log.h"
#include "common/core/unique_fd.h"

namespace saola {

class LineWriter final : public LogSink {
 public:
  // Takes `fd`. `capacity_bytes` is what may wait.
  explicit LineWriter(UniqueFd fd, std::size_t capacity_bytes = std::size_t{1} << 20);
  // Gives the thread at most `kCloseGrace` to write what waits, then leaves it behind.
  ~LineWriter() override;

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
