// RequestChannel: the worker's end of the wire. Frames in, requests out; answers in, frames out.
//
// One mutex guards everything here; it is uncontended on the fast path (two atomics). The thread
// that runs the app receives and flushes. Once it has been inside Python for about a millisecond,
// the helper thread (channel_helper.h), which is never attached to Python, does that in its place:
// it flushes finished answers, receives and files frames, answers PING, keeps the heartbeat. It
// never claims a request: what the app thread has not claimed, the edge may still give to another worker.
//
// No function here needs the GIL or takes it; callers release it around wait_...().
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "common/core/result.h"
#include "common/core/unique_fd.h"
#include "common/ipc/claim_table.h"
#include "common/ipc/frame_decoder.h"
#include "common/ipc/frame_queue.h"
#include "common/ipc/messages.h"

namespace saola::backend {

// One request given to this worker. Owned by the channel; from claim_next() to finish() the host
// may keep the pointer. `request` does not change after the claim and may be read without the lock.
struct RequestStream {
  std::uint32_t id = 0;
  ipc::RequestView request;          // views into head_bytes
  std::string head_bytes;
  UniqueFd body_file;                // the whole body, read-only, if the edge spooled it
  bool body_file_lost = false;       // its descriptor did not arrive (descriptor limit): answer 503

  // Under the channel's lock, used by its functions only:
  std::string body;                  // received, not yet taken
  bool body_complete = false;
  std::vector<std::pair<std::string, std::string>> trailers;
  bool aborted = false;              // the edge wants no (more) answer
  ipc::AbortReason abort_reason{};
  std::int64_t send_window = 0;      // bytes of answer body that may be sent
  std::uint32_t credit_owed = 0;     // request body bytes taken but not yet given back as WINDOW
  bool claimed = false;
  bool in_body_lane = false;         // a body frame went to the queue's second lane
  bool answer_ended = false;
  bool wants_event = false;
  void* host = nullptr;              // the host's own record of this request
};

enum class EventKind : std::uint8_t { kBody, kAborted, kWindow };

class RequestChannel {
 public:
  RequestChannel(UniqueFd socket, ipc::ClaimTable claims);
  ~RequestChannel();

  int fd() const { return socket_.get(); }
  // Readable when the helper thread has received something that the app thread should look at. For
  // loops (ASGI); wait() looks at it itself.
  int wake_fd() const { return wake_fd_.get(); }

  // --- receiving, by the app thread ------------------------------------------------------------
  // Reads what is there without blocking and files it. False: the edge has gone (or sent nonsense:
  // broken_reason()).
  bool receive();
  // WSGI: flushes, then blocks until receive() would bring something, wake() is called or the edge has gone. With several
  // threads one waits on the socket, the others on a condition.
  void wait();
  // The oldest request that could be claimed; null if there is none. Requests that the edge has
  // taken back meanwhile are dropped on the way.
  RequestStream* claim_next();
  // Claimed streams on which something happened since the last call, each once (ASGI). Only streams with
  // a host record are reported.
  void take_events(std::vector<RequestStream*>& streams);

  // --- one request -----------------------------------------------------------------------------
  struct BodyPart {
    bool complete = false;           // nothing follows
    bool aborted = false;
  };
  // Moves what has arrived, at most `limit` bytes, to the end of `out`, and gives credit for it.
  BodyPart take_body(RequestStream& stream, std::string& out,
                     std::size_t limit = static_cast<std::size_t>(-1));
  // Blocks until take_body() would give something (WSGI, streamed bodies).
  void wait_body(RequestStream& stream);

  // A whole head in one go: `fields` is an encoder callback's work: see ResponseHeadEncoder.
  //   auto head = channel.begin_head(stream, 200, length);  head.encoder.add(...);  channel.end_head(head, ...)
  // The lock is held from begin_head() to end_head(): do nothing else, above all no Python, in between.
  class HeadInProgress {
   public:
    void add(std::uint8_t name_id, std::string_view lower_case_name, std::string_view value) {
      encoder_.add(name_id, lower_case_name, value);
    }

   private:
    friend class RequestChannel;
    HeadInProgress(std::unique_lock<std::mutex> lock, std::string& out, std::uint16_t status,
                   std::int64_t content_length)
        : lock_(std::move(lock)), encoder_(out, status, content_length) {}
    std::unique_lock<std::mutex> lock_;
    ipc::ResponseHeadEncoder encoder_;
  };
  HeadInProgress begin_head(RequestStream& stream, std::uint16_t status,
                            std::int64_t content_length);
  // `first_body` goes with the head as far as the window allows; returns how many bytes were taken.
  // `end`: the answer is complete with it (only if all was taken; else call send_body for the rest).
  std::size_t end_head(HeadInProgress head, RequestStream& stream, std::string_view first_body,
                       bool end, bool interim = false);
  // Returns how many bytes were taken: less than all when the window is used up (wait_window() or an
  // event with room, then again), npos-free. An aborted stream takes everything and sends nothing.
  std::size_t send_body(RequestStream& stream, std::string_view body, bool end);
  void send_trailers(RequestStream& stream, const std::vector<ipc::Field>& trailers);
  void send_abort(RequestStream& stream, ipc::AbortReason reason);
  // Blocks until the window has room or the stream is aborted (WSGI).
  void wait_window(RequestStream& stream);
  bool is_aborted(const RequestStream& stream) const;
  // The host is done with it; the pointer is dead afterwards. Ends the answer with an ABORT if it was not ended.
  void finish(RequestStream& stream);

  // --- sending and life ------------------------------------------------------------------------
  // Writes what waits as far as the socket takes it; what it does not take goes when it can (the helper, or the next call).
  void flush();
  bool has_unflushed() const { return unflushed_.load(std::memory_order_relaxed); }
  // Tells the edge to send no more (recycling), or that we shall exit.
  void send_drain();
  bool edge_draining() const;        // the edge sent DRAIN: no request follows
  std::size_t in_flight() const;     // claimed, not finished
  std::size_t queued() const;        // received, not claimed
  void wake();                       // makes wait() return; from any thread
  bool broken() const;
  std::string broken_reason() const;

  // --- the helper thread's side ----------------------------------------------------------------
  // Marks that the app thread goes into Python (or comes back): see channel_helper.h.
  void enter_app() { app_epoch_.fetch_add(1, std::memory_order_relaxed); }
  void leave_app() { app_epoch_.fetch_add(1, std::memory_order_relaxed); }
  std::uint64_t app_epoch() const { return app_epoch_.load(std::memory_order_relaxed); }
  // One pass in place of the app thread if the lock is free: receive, file, flush.
  void assist();

 private:
  // BACKEND-A: complete as the implementation needs.
  UniqueFd socket_;
  UniqueFd wake_fd_;
  ipc::ClaimTable claims_;
  mutable std::mutex mutex_;
  ipc::FrameDecoder decoder_;
  ipc::FrameQueue out_;
  std::atomic<bool> unflushed_{false};
  std::atomic<std::uint64_t> app_epoch_{0};
};

}  // namespace saola::backend
