#include "proxy/request_body.h"

namespace saola::proxy {
namespace {

constexpr std::size_t kBlock = 256 * 1024;  // one write to disk
constexpr std::size_t kStreamHigh =
    128 * 1024;  // waiting for the worker: pause the client above it

}  // namespace

RequestBody::RequestBody(FilePool& pool, SpoolSpace& space, Options options,
                         std::function<void()> on_change)
    : pool_(pool), space_(space), options_(options), on_change_(std::move(on_change)) {}

void RequestBody::append(std::string_view data) {
  received_ += data.size();
  if (error_) return;
  memory_.append(data);
  if (options_.whole && (in_file() || memory_.size() > options_.memory_bytes)) flush_to_file();
}

void RequestBody::flush_to_file() {
  if (!options_.whole || error_) return;
  if (!file_) {
    if (memory_.size() <= options_.memory_bytes) return;
    file_ = std::make_unique<SpoolFile>(pool_, space_);
  }
  if (file_->busy() || memory_.empty() || (!complete_ && memory_.size() < kBlock)) return;
  std::string data;
  data.swap(memory_);
  file_->write(std::move(data), [this](const Result<void>& result, const std::string&) {
    if (!result) error_ = result.error();
    flush_to_file();
    on_change_();
  });
}

bool RequestBody::paused() const {
  if (error_) return false;  // what still comes is thrown away
  if (options_.whole) return in_file() && file_->busy() && memory_.size() >= 2 * kBlock;
  return memory_.size() - sent_ >= kStreamHigh;
}

void RequestBody::mark_sent(std::size_t bytes) {
  sent_ += bytes;
  if (keep_sent_) return;
  replayable_ = false;
  if (sent_ == memory_.size() || sent_ >= kBlock) {
    memory_.erase(0, sent_);
    sent_ = 0;
  }
}

void RequestBody::forget_sent() {
  if (options_.whole || !keep_sent_) return;
  keep_sent_ = false;
  if (sent_ == 0) return;
  replayable_ = false;
  memory_.erase(0, sent_);
  sent_ = 0;
}

}  // namespace saola::proxy
