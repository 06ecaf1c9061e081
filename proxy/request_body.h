// RequestBody: what has come of a request's body and has not been handed to a worker for good.
//
// Two ways (whole or streamed), by what the app's interface needs:
//   whole      collected until complete: in memory up to a limit, then in a temporary file.
//   streamed   a queue of pieces towards the worker. The first kRequestWindow bytes are kept after
//   sending too, as long as
//              replayable(): until the worker has claimed the request it may have to be sent again.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "proxy/spool_file.h"

namespace saola::proxy {

class RequestBody {
 public:
  struct Options {
    bool whole = false;
    std::uint64_t memory_bytes = 64 * 1024;
  };
  // `on_change`: background work has finished: settled(), paused() or failed() may have changed.
  RequestBody(FilePool& pool, SpoolSpace& space, Options options, std::function<void()> on_change);

  void append(std::string_view data);
  void end() {
    complete_ = true;
    flush_to_file();
  }

  // The client has sent all of it.
  bool complete() const { return complete_; }
  // Whole bodies: complete, and on disk as far as it goes there. Ready to dispatch.
  bool settled() const { return complete_ && (!in_file() || (memory_.empty() && !file_->busy())); }
  // True while the client should not send more.
  bool paused() const;
  // The reason why the body could not be kept (disk full); final.
  const Error* failed() const { return error_ ? &*error_ : nullptr; }

  bool in_file() const { return file_ != nullptr; }
  Result<UniqueFd> open_file() const { return file_->open_for_reading(); }
  std::uint64_t received() const { return received_; }

  // In memory: what is to be sent next (at most `limit`), and that it was.
  std::string_view unsent(std::size_t limit) const {
    return std::string_view(memory_).substr(sent_, limit);
  }
  void mark_sent(std::size_t bytes);
  bool all_sent() const { return sent_ == memory_.size(); }
  // From the start again (another worker). Requires replayable().
  void rewind() { sent_ = 0; }
  bool replayable() const { return replayable_; }
  // The request is being run: what was sent need not be kept.
  void forget_sent();

 private:
  void flush_to_file();

  FilePool& pool_;
  SpoolSpace& space_;
  Options options_;
  std::function<void()> on_change_;
  std::string memory_;
  std::size_t sent_ = 0;
  std::uint64_t received_ = 0;
  std::unique_ptr<SpoolFile> file_;
  std::optional<Error> error_;
  bool complete_ = false;
  bool replayable_ = true;
  bool keep_sent_ = true;
};

}  // namespace saola::proxy
