// ResponseStore: the part of an answer that the client has not taken yet, first in, first out.
//
// Memory up to a limit, then a temporary file, then nothing: room() says how much more the worker
// may send, which the exchange turns into window credit. Order is kept: memory (oldest), file, tail
// (newest, on its way to the file).
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "proxy/spool_file.h"

namespace saola::proxy {

class ResponseStore {
 public:
  struct Options {
    std::uint64_t memory_bytes;
    std::uint64_t spool_bytes;  // 0: never on disk
  };
  // `on_change` is called in the loop's thread when background work has made data or room
  // available, never from within push() or pop(). A disk error is no error here: what is in memory
  // stays there, and room() is 0 until it is gone; only data that is in the file and cannot be read
  // back is lost: failed().
  ResponseStore(FilePool& pool, SpoolSpace& space, Options options,
                std::function<void()> on_change);

  void push(std::string_view data);
  // Bytes at the front that can be sent now; empty if there are none or they are still on disk.
  std::string_view front() const;
  void pop(std::size_t bytes);

  bool empty() const { return stored() == 0; }
  std::uint64_t stored() const { return memory_ + file_left() + tail_.size() + writing_; }
  // True when the next push() has room in memory or on its way to the disk.
  bool has_room() const;
  bool failed() const { return failed_; }
  std::uint64_t spooled() const { return file_ ? file_->size() : 0; }

 private:
  std::uint64_t file_left() const { return file_ ? file_->size() - read_at_ : 0; }
  bool spooling() const { return file_left() + tail_.size() + writing_ > 0; }
  void start_io();
  void changed();

  FilePool& pool_;
  SpoolSpace& space_;
  Options options_;
  std::function<void()> on_change_;
  std::deque<std::string> chunks_;  // memory, oldest first
  std::size_t popped_ = 0;          // of chunks_.front()
  std::uint64_t memory_ = 0;
  std::unique_ptr<SpoolFile> file_;
  std::uint64_t read_at_ = 0;
  std::string tail_;  // newest, waits for the disk
  std::uint64_t writing_ = 0;
  bool disk_refused_ = false;
  bool in_call_ = false;  // push() or pop() is on the stack: its caller looks afterwards
  bool failed_ = false;
};

}  // namespace saola::proxy
