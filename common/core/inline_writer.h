// InlineWriter: as LineWriter, for processes that must not have a second thread (the supervisor,
// which hands its memory on; a zygote, which forks).
//
// Each call writes what the outlet takes at once; the rest waits, bounded, for the next call or for
// flush(), which the owner calls now and then while waiting(). What does not fit is dropped and
// counted. Not thread-safe.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "common/core/log_writer.h"

namespace saola {

class InlineWriter final : public LogWriter {
 public:
  explicit InlineWriter(std::unique_ptr<LogOutlet> outlet, RecordStyle style = {},
                        std::size_t capacity_bytes = std::size_t{256} << 10,
                        DropNote note = nullptr);

  void write_line(std::string_view line) override;
  void write_record(const LogRecord& record) override;
  void replace(std::unique_ptr<LogOutlet> outlet) override;
  void set_style(RecordStyle style, DropNote note) override;
  bool drain(std::chrono::milliseconds limit) override;
  std::uint64_t dropped_lines() const override { return dropped_; }
  bool waiting() const override { return !queue_.empty() || unreported_ > 0; }
  void flush() override;

 private:
  using Clock = std::chrono::steady_clock;

  void take(std::string_view bytes, std::size_t lines);
  LogOutlet::State write_what_fits();

  std::unique_ptr<LogOutlet> outlet_;
  RecordStyle style_;
  const std::size_t capacity_;
  DropNote note_;
  std::string queue_;
  std::string scratch_;
  std::size_t sent_ = 0;  // of the queue
  std::uint64_t dropped_ = 0;
  std::uint64_t unreported_ = 0;
  Clock::time_point not_before_{};  // an outlet that is down is not tried again for every line
};

}  // namespace saola
