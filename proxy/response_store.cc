#include "proxy/response_store.h"

namespace saola::proxy {
namespace {

// One disk operation, and one allocation of memory chunks.
constexpr std::size_t kBlock = 256 * 1024;

}  // namespace

ResponseStore::ResponseStore(FilePool& pool, SpoolSpace& space, Options options,
                             std::function<void()> on_change)
    : pool_(pool), space_(space), options_(options), on_change_(std::move(on_change)) {}

bool ResponseStore::has_room() const {
  if (!spooling() && memory_ < options_.memory_bytes) return true;
  if (options_.spool_bytes == 0 || disk_refused_) return false;
  return spooled() + writing_ + tail_.size() < options_.spool_bytes && tail_.size() < 2 * kBlock;
}

void ResponseStore::push(std::string_view data) {
  if (spooling() ||
      (memory_ >= options_.memory_bytes && options_.spool_bytes > 0 && !disk_refused_)) {
    tail_.append(data);
    in_call_ = true;
    start_io();
    in_call_ = false;
    return;
  }
  memory_ += data.size();
  if (chunks_.empty() || chunks_.back().size() + data.size() > kBlock) {
    chunks_.emplace_back(data);
  } else {
    chunks_.back().append(data);
  }
}

std::string_view ResponseStore::front() const {
  if (chunks_.empty()) return {};
  return std::string_view(chunks_.front()).substr(popped_);
}

void ResponseStore::pop(std::size_t bytes) {
  popped_ += bytes;
  memory_ -= bytes;
  if (popped_ == chunks_.front().size()) {
    chunks_.pop_front();
    popped_ = 0;
  }
  if (memory_ >= kBlock) return;
  in_call_ = true;
  start_io();
  in_call_ = false;
}

void ResponseStore::changed() {
  if (!in_call_) on_change_();
}

// Decides the one disk operation that may run: reading back has priority, since the client waits.
void ResponseStore::start_io() {
  if (failed_ || (file_ && file_->busy())) return;
  if (memory_ < kBlock && file_left() > 0) {
    return file_->read(read_at_, kBlock, [this](Result<std::string> data) {
      if (!data) {
        failed_ = true;
      } else {
        read_at_ += data->size();
        memory_ += data->size();
        chunks_.push_back(std::move(*data));
        start_io();
      }
      changed();
    });
  }
  if (tail_.empty()) return;
  // Nothing older is on disk and memory has room (or the disk is no help): the tail is the front.
  if (file_left() == 0 && (memory_ < options_.memory_bytes || disk_refused_)) {
    memory_ += tail_.size();
    chunks_.push_back(std::move(tail_));
    tail_.clear();
    return;
  }
  if (disk_refused_) return;
  if (!file_) file_ = std::make_unique<SpoolFile>(pool_, space_);
  writing_ = tail_.size();
  std::string data;
  data.swap(tail_);
  file_->write(std::move(data), [this](const Result<void>& result, std::string back) {
    writing_ = 0;
    if (!result) {
      disk_refused_ = true;
      back.append(tail_);
      tail_.swap(back);
    }
    start_io();
    changed();
  });
}

}  // namespace saola::proxy
