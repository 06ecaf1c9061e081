// RequestChannel: the worker's end of the wire. Frames in, requests out; answers in, frames out.
//
// One mutex guards everything here; it is uncontended on the fast path (two atomics). The thread
// that runs the app receives and flushes. Once it has been inside Python for about a millisecond,
// the helper thread (channel_helper.h), which is never attached to Python, does that in its place:
// it flushes finished answers, receives and files frames, answers PING, keeps the heartbeat. It
// never claims a request: what the app thread has not claimed, the edge may still give to another
// worker.
//
// The edge may die and a new one take its place: between break_off() and reconnect() the channel is
// broken(). What was claimed is told that its client has gone and runs on, detached: no frame of it
// leaves any more, and its number may mean another request on the new connection. What was not
// claimed is dropped; the new edge never knew it.
//
// No function here needs the GIL or takes it; callers release it around wait...().
#pragma once

#include <sys/socket.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
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
#include "common/ipc/scoreboard.h"

namespace saola::backend {

// One request given to this worker. Owned by the channel; from claim_next() to finish() the host
// may keep the pointer. `request` does not change after the claim and may be read without the lock.
struct RequestStream {
  std::uint32_t id = 0;
  ipc::RequestView request;  // views into head_bytes
  std::string head_bytes;
  UniqueFd body_file;           // the whole body, read-only, if the edge spooled it
  bool body_file_lost = false;  // its descriptor did not arrive (descriptor limit): answer 503

  // Under the channel's lock, used by its functions only:
  std::string body;  // received, not yet taken
  bool body_complete = false;
  std::vector<std::pair<std::string, std::string>> trailers;
  bool aborted = false;  // the edge wants no (more) answer
  ipc::AbortReason abort_reason{};
  std::int64_t send_window = 0;   // bytes of answer body that may be sent
  std::uint32_t credit_owed = 0;  // request body bytes taken but not yet given back as WINDOW
  bool claimed = false;
  bool in_body_lane = false;  // a body frame went to the queue's second lane
  bool answer_ended = false;
  bool wants_event = false;  // is in the list that take_events() gives out
  bool detached = false;  // in no slot: that has a later request, or the edge died; nothing is sent
  bool seen_slow = false;  // take_slow() has given it out
  std::chrono::steady_clock::time_point claimed_at;
  unsigned long thread = 0;  // that claimed it, as pthread_self()
  void* host = nullptr;      // the host's own record of this request
};

// What runs now, for the log.
struct RunningRequest {
  std::string request_id;
  std::string line;                           // method and path, without the query
  std::chrono::steady_clock::duration ran{};  // since its claim
  std::chrono::microseconds queue_wait{};     // before that, in the edge
  unsigned long thread = 0;                   // that claimed it, as pthread_self()
};

class RequestChannel {
 public:
  // Sends HELLO with the next flush.
  RequestChannel(UniqueFd socket, ipc::ClaimTable claims);
  ~RequestChannel();
  RequestChannel(const RequestChannel&) = delete;
  RequestChannel& operator=(const RequestChannel&) = delete;

  // Starts, finishes and turns are counted here. The slot outlives the channel. Before any thread.
  void count_in(ipc::WorkerSlot* slot) { counters_ = slot; }

  // The socket's number, another one after each reconnect(). The descriptor stays open while it is
  // the channel's, and after that until watchable_fd(), so that loops can unwatch it.
  int fd() const { return fd_.load(std::memory_order_acquire); }
  // For loops, which must watch no other descriptor of the channel's than wake_fd() when they call
  // it: the one to watch now, -1 while broken. Closes those of earlier connections.
  int watchable_fd();
  // Readable when the helper thread has received something that the app thread should look at. For
  // loops (ASGI); wait() looks at it itself.
  int wake_fd() const { return wake_fd_.get(); }

  // --- receiving, by the app thread ------------------------------------------------------------
  // Reads what is there without blocking and files it. False: there is no edge (any more), or it
  // sent nonsense: broken_reason().
  bool receive();
  // WSGI: flushes, then blocks until a request is there to claim, wake() is called, draining has
  // begun, or a signal came (kInterrupted: let Python look at its signals). Without an edge it
  // waits for a new one. With several threads one waits on the socket and receives, the others wait
  // on a condition. `wakes_seen` is the waiting thread's own, 0 at first: each thread hears of each
  // wake() once.
  enum class Wakeup { kWork, kInterrupted };
  Wakeup wait(std::uint64_t& wakes_seen);
  // The oldest request that could be claimed; null if there is none or draining has begun. Requests
  // that the edge has taken back meanwhile are dropped on the way.
  RequestStream* claim_next();
  // Claimed streams on which something happened since the last call, each once (ASGI). Only streams
  // with a host record are reported.
  void take_events(std::vector<RequestStream*>& streams);

  // --- one request -----------------------------------------------------------------------------
  struct BodyPart {
    bool complete = false;  // nothing follows
    bool aborted = false;
  };
  // Moves what has arrived, at most `limit` bytes, to the end of `out`, and gives credit for it.
  BodyPart take_body(RequestStream& stream, std::string& out,
                     std::size_t limit = static_cast<std::size_t>(-1));
  // Blocks until take_body() would give something (WSGI, streamed bodies).
  void wait_body(RequestStream& stream);

  // A whole head in one go, encoded in place:
  //   auto head = channel.begin_head(stream, 200, length);
  //   head.add(...);  channel.end_head(std::move(head), ...);
  // The lock is held from begin_head() to end_head(): do nothing else, above all no Python,
  // between.
  class HeadInProgress {
   public:
    void add(std::uint8_t name_id, std::string_view lower_case_name, std::string_view value) {
      encoder_.add(name_id, lower_case_name, value);
    }

   private:
    friend class RequestChannel;
    HeadInProgress(std::unique_lock<std::mutex> lock, std::string& out, std::uint16_t status,
                   std::int64_t content_length, std::string_view reason)
        : lock_(std::move(lock)), encoder_(out, status, content_length, reason) {}
    std::unique_lock<std::mutex> lock_;
    ipc::ResponseHeadEncoder encoder_;
  };
  HeadInProgress begin_head(RequestStream& stream, std::uint16_t status,
                            std::int64_t content_length, std::string_view reason = {});
  // `first_body` goes with the head as far as the window allows; returns how many bytes were taken.
  // `end`: the answer is complete with it (only if all was taken; else call send_body for the
  // rest).
  std::size_t end_head(HeadInProgress head, RequestStream& stream, std::string_view first_body,
                       bool end, bool interim = false);
  // Returns how many bytes were taken: less than all when the window is used up (wait_window() or
  // an event, then again with the rest). An aborted stream takes everything and sends nothing.
  std::size_t send_body(RequestStream& stream, std::string_view body, bool end);
  // Ends the answer, instead of send_body() with `end`.
  void send_trailers(RequestStream& stream, const std::vector<ipc::Field>& trailers);
  // Breaks the answer off.
  void send_abort(RequestStream& stream, ipc::AbortReason reason);
  // Blocks until the window has room or the stream is aborted (WSGI).
  void wait_window(RequestStream& stream);
  bool is_aborted(const RequestStream& stream) const;
  // Its edge has died; is_aborted() too.
  bool is_detached(const RequestStream& stream) const;
  // The edge's time-out: the client has its 504, what still runs should end.
  bool is_timed_out(const RequestStream& stream) const;
  // The host is done with it; the pointer is dead afterwards. Ends the answer with an ABORT if it
  // was not ended.
  void finish(RequestStream& stream);

  // --- watching (request_channel_watch.cc) -----------------------------------------------------
  // `hook` is called when the edge's time-out for a claimed stream comes, in whatever thread
  // receives it and under the lock: it takes neither the GIL nor this channel. Empty: none.
  void on_timeout(std::function<void(const RequestStream&)> hook);
  // The same, called before that one, while what runs has not heard of it.
  void on_timeout_seen(std::function<void(const RunningRequest&)> hook);
  // `hook` is called once, under the lock, in the thread that finds the claim table overwritten.
  // The channel is broken then: who may run what is not known any more. Before any thread.
  void on_damage(std::function<void()> hook) { damage_hook_ = std::move(hook); }
  // Before any thread: claims are timed exactly, for take_slow(). Else to a heartbeat or so, for
  // nothing.
  void time_claims() { times_claims_ = true; }
  // What is claimed and not finished, longest first. From any thread.
  std::vector<RunningRequest> running() const;
  // Those of them that have run for `limit`, each once.
  std::vector<RunningRequest> take_slow(std::chrono::milliseconds limit);

  // --- sending and life ------------------------------------------------------------------------
  // Writes what waits as far as the socket takes it; what it does not take goes when it can (the
  // helper, or the next call).
  void flush();
  // Between two requests of a batch: flushes if more than 64 KiB wait or the oldest waits for 1 ms.
  void flush_if_due();
  bool has_unflushed() const { return unflushed_.load(std::memory_order_relaxed); }
  // Flushes and waits until the edge has taken everything; false if it has not within `limit`.
  bool flush_all(std::chrono::milliseconds limit);
  // Nothing is claimed any more; the edge is told so and takes back what waits. From any thread.
  // `deadline`: when the process is ended from outside; hosts leave room for their own shutdown.
  void begin_drain(std::chrono::steady_clock::time_point deadline =
                       std::chrono::steady_clock::time_point::max());
  // The earliest that was given; max() if none was.
  std::chrono::steady_clock::time_point drain_deadline() const;
  bool draining() const { return draining_.load(std::memory_order_acquire); }
  bool edge_draining() const;     // the edge sent DRAIN: no request follows
  std::size_t in_flight() const;  // claimed, not finished, detached ones included
  std::size_t queued() const;     // received, not claimed
  // Makes wait() return in every thread, or its next call if a thread is elsewhere. From any
  // thread.
  void wake();
  bool broken() const;                // no edge, until reconnect()
  std::string broken_reason() const;  // of the last time
  // The connection to a new edge. From any thread; what is left of the old connection is broken off
  // first. HELLO is sent anew, and DRAIN if draining has begun. wake_fd() becomes readable.
  void reconnect(UniqueFd socket, ipc::ClaimTable claims);

  // --- the helper thread's side ----------------------------------------------------------------
  // Changes whenever the app thread comes round to the socket (receive, wait). While it does not
  // change, the app thread is inside Python, or its loop sleeps. Sending does not count: who only
  // sends hears nothing.
  std::uint64_t activity() const { return activity_.load(std::memory_order_relaxed); }
  // Readable when the helper is asleep and something waits to be flushed.
  int helper_fd() const { return helper_fd_.get(); }
  // Before the helper sleeps on helper_fd() and the socket: from now on unflushed answers ring.
  // True: something is unflushed already, so sleep on room in the socket too.
  bool helper_falls_asleep();
  void helper_awake() { helper_asleep_.store(false, std::memory_order_relaxed); }
  // One pass if the lock is free: flushes what has waited for a millisecond; in place of a silent
  // app thread also receives and files.
  void assist(bool app_is_silent);
  // A sign of life of the loop in the scoreboard; receive() gives it too.
  void mark_turn();
  // What time it is, from whoever has looked at the clock.
  void note_time(std::chrono::steady_clock::time_point now) {
    recent_.store(now, std::memory_order_relaxed);
  }

 private:
  using Lock = std::unique_lock<std::mutex>;

  static constexpr std::chrono::milliseconds kFlushAge{1};  // no answer waits longer unflushed

  void touch() { activity_.fetch_add(1, std::memory_order_relaxed); }

  // All below need the lock. Those up to break_off() are in request_channel_wire.cc, those from
  // signal_wake() on, and the public ones that wait, in request_channel_wait.cc.
  void receive_some();
  bool read_socket();
  void keep_descriptors(msghdr& message);
  void file(const ipc::Frame& frame);
  void file_hello(const ipc::Frame& frame);
  void file_request(const ipc::Frame& frame);
  void file_body(const ipc::Frame& frame);
  void file_trailers(const ipc::Frame& frame);
  void file_abort(const ipc::Frame& frame);
  void file_window(const ipc::Frame& frame);
  void report_timeout(const RequestStream& stream) const;
  void mark_unflushed();
  void flush_locked();
  void break_off(std::string reason);

  RequestStream* find(std::uint32_t id);
  RequestStream& occupy(std::uint32_t id);
  void release(RequestStream& stream);
  void give_up_table();
  void vacate(std::size_t slot);
  void mark_event(RequestStream& stream);
  void give_credit(RequestStream& stream, std::size_t bytes);
  std::size_t put_body(RequestStream& stream, std::string_view body, bool end, bool with_head);
  void put_abort(RequestStream& stream, ipc::AbortReason reason);
  void signal_wake();
  void clear_wake();
  void notify_followers();
  template <class Ready>
  bool wait_until(Lock& lock, std::condition_variable& condition, std::size_t& waiters,
                  Ready ready);
  bool poll_as_leader(Lock& lock);

  UniqueFd socket_;
  std::atomic<int> fd_;            // socket_'s number
  std::vector<UniqueFd> retired_;  // sockets of earlier connections that somebody may still poll
  UniqueFd wake_fd_;
  UniqueFd helper_fd_;
  ipc::ClaimTable claims_;
  ipc::WorkerSlot* counters_ = nullptr;

  mutable std::mutex mutex_;
  std::condition_variable idle_;      // threads that want a request
  std::condition_variable progress_;  // threads that wait for a body or a window
  std::size_t idle_waiters_ = 0;
  std::size_t progress_waiters_ = 0;
  bool has_leader_ = false;      // a thread is in poll(2) for all
  std::uint64_t wakes_ = 0;      // calls of wake()
  bool wake_signalled_ = false;  // wake_fd_ is readable

  ipc::FrameDecoder decoder_;
  ipc::FrameQueue out_;
  std::deque<UniqueFd> descriptors_;  // received, their frame not yet; invalid ones were lost
  std::string scratch_;               // heads for streams that get nothing
  bool hello_received_ = false;
  std::int64_t response_window_ = 0;  // initial, as the edge's HELLO says

  std::vector<RequestStream*> table_;  // by slot
  std::deque<RequestStream> storage_;
  std::vector<RequestStream*> free_;
  std::deque<std::uint32_t> queue_;  // ids in order of arrival, stale ones included
  std::vector<RequestStream*> events_;
  std::size_t in_flight_ = 0;
  std::size_t queued_ = 0;
  bool edge_draining_ = false;
  std::chrono::steady_clock::time_point drain_deadline_ =
      std::chrono::steady_clock::time_point::max();
  std::string broken_reason_;
  std::function<void(const RequestStream&)> timeout_hook_;
  std::function<void(const RunningRequest&)> timeout_seen_hook_;
  std::function<void()> damage_hook_;
  std::uint64_t started_ = 0;  // as counters_ shows them
  std::uint64_t finished_ = 0;
  std::chrono::steady_clock::time_point unflushed_since_;

  std::atomic<bool> broken_{false};
  std::atomic<bool> draining_{false};
  std::atomic<bool> unflushed_{false};
  std::atomic<bool> helper_asleep_{false};
  std::atomic<std::uint64_t> activity_{0};
  std::atomic<std::chrono::steady_clock::time_point> recent_{std::chrono::steady_clock::now()};
  bool times_claims_ = false;
};

}  // namespace saola::backend
