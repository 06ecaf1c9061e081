// RequestChannel, the part that is asked from outside: what runs, for how long, what is out of
// time.
#include <algorithm>

#include "backend/request_channel.h"

namespace saola::backend {
namespace {

constexpr std::size_t kLongestPath = 200;

RunningRequest describe(const RequestStream& stream, std::chrono::steady_clock::time_point now) {
  const ipc::RequestMeta& meta = stream.request.meta;
  RunningRequest running;
  running.request_id = meta.request_id;
  running.line =
      meta.method == ipc::Method::kOther ? meta.method_text : ipc::method_name(meta.method);
  running.line += ' ';
  running.line += meta.raw_path.substr(0, kLongestPath);
  running.ran = std::max(now - stream.claimed_at, std::chrono::steady_clock::duration(0));
  running.queue_wait = std::chrono::microseconds(meta.queue_wait_us);
  running.thread = stream.thread;
  return running;
}

void sort_longest_first(std::vector<RunningRequest>& requests) {
  std::sort(requests.begin(), requests.end(),
            [](const auto& one, const auto& other) { return one.ran > other.ran; });
}

}  // namespace

bool RequestChannel::is_timed_out(const RequestStream& stream) const {
  const Lock lock(mutex_);
  return stream.aborted && stream.abort_reason == ipc::AbortReason::kTimeout;
}

void RequestChannel::on_timeout(std::function<void(const RequestStream&)> hook) {
  const Lock lock(mutex_);
  timeout_hook_ = std::move(hook);
}

void RequestChannel::on_timeout_seen(std::function<void(const RunningRequest&)> hook) {
  const Lock lock(mutex_);
  timeout_seen_hook_ = std::move(hook);
}

// Under the lock.
void RequestChannel::report_timeout(const RequestStream& stream) const {
  if (timeout_seen_hook_) timeout_seen_hook_(describe(stream, std::chrono::steady_clock::now()));
  if (timeout_hook_) timeout_hook_(stream);
}

std::vector<RunningRequest> RequestChannel::running() const {
  const Lock lock(mutex_);
  const auto now = std::chrono::steady_clock::now();
  std::vector<RunningRequest> found;
  for (const RequestStream* stream : table_) {
    if (stream != nullptr && stream->claimed) found.push_back(describe(*stream, now));
  }
  sort_longest_first(found);
  return found;
}

std::vector<RunningRequest> RequestChannel::take_slow(std::chrono::milliseconds limit) {
  const Lock lock(mutex_);
  std::vector<RunningRequest> found;
  if (in_flight_ == 0) return found;
  const auto now = std::chrono::steady_clock::now();
  for (RequestStream* stream : table_) {
    if (stream == nullptr || !stream->claimed || now - stream->claimed_at < limit) continue;
    if (!std::exchange(stream->seen_slow, true)) found.push_back(describe(*stream, now));
  }
  sort_longest_first(found);
  return found;
}

}  // namespace saola::backend
