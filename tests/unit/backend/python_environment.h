// One interpreter for all tests of a binary: extension modules do not survive a second one. The
// main thread holds the GIL. Linking python_environment.cc is enough; this header is for the log.
#pragma once

#include <mutex>
#include <string>

#include "common/core/log.h"

namespace saola::backend::test {

// What the application logs. It outlives the interpreter, which writes to it until its end.
class CapturedLog final : public LogSink {
 public:
  static CapturedLog& instance();
  void write_line(std::string_view line) override;
  std::string text() const;
  void clear();

 private:
  mutable std::mutex mutex_;
  std::string text_;
};

}  // namespace saola::backend::test
