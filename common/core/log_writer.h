// LogWriter: takes the lines and records of a log for one outlet, in that outlet's form.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "common/core/log.h"
#include "common/core/log_outlet.h"
#include "common/core/record_style.h"

namespace saola {

// Makes the line (with "\n") that reports `lines` dropped ones, in the log's own format.
using DropNote = std::string (*)(std::uint64_t lines);

class LogWriter : public LogSink {
 public:
  // What comes is written to `outlet` from now on (log rotation). Nothing is lost by that.
  virtual void replace(std::unique_ptr<LogOutlet> outlet) = 0;
  // Of records that come; framed() stays as it is. `note`: null is the style's own.
  virtual void set_style(RecordStyle style, DropNote note) = 0;
  // Waits until everything taken before the call is written, or `limit` has passed; says which.
  virtual bool drain(std::chrono::milliseconds limit) = 0;
  virtual std::uint64_t dropped_lines() const = 0;
  // For a writer without a thread: more is to be written, flush() tries.
  virtual bool waiting() const { return false; }
  virtual void flush() {}
};

// Lines as `style` has them: as they are, or each as a framed record. Says how many there are.
std::size_t append_lines(std::string& out, std::string_view lines, const RecordStyle& style);

// "2026-01-31T08:15:42.123Z warning log: 17 lines dropped: the log was not written fast enough"
std::string plain_drop_note(std::uint64_t lines);
std::string make_drop_note(std::uint64_t lines, const RecordStyle& style, DropNote note);

}  // namespace saola
