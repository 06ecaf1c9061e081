// WorkerConnection: the edge's end of the wire to one worker: requests out, answers in.
//
// Knows which exchange holds which slot, and asks the claim table what the worker has started.
// Frames that a turn produced leave at its end (flush()). A worker that breaks the protocol is
// treated as one that died: its claimed requests end, the others go elsewhere.
#pragma once

#include <deque>
#include <string>
#include <unordered_map>
#include <vector>

#include "common/event/io_watcher.h"
#include "common/ipc/claim_table.h"
#include "common/ipc/control_message.h"
#include "common/ipc/frame_decoder.h"
#include "common/ipc/frame_queue.h"
#include "common/ipc/messages.h"
#include "proxy/balancer.h"
#include "proxy/exchange.h"
#include "proxy/request_clock.h"

namespace saola::proxy {

class Upstream;

class WorkerConnection final : public Deletable {
 public:
  WorkerConnection(EdgeServices& services, Upstream& upstream, const ipc::WorkerAdd& facts,
                   UniqueFd socket, ipc::ClaimTable claims);
  ~WorkerConnection() override;

  // Sends the request; needs can_send(). The body follows by Exchange::pump_body().
  void send(Exchange& exchange);
  bool can_send() const { return !free_slots_.empty() && !broken_; }
  void send_body(std::uint32_t stream, std::string_view data, bool end, bool prompt);
  void send_window(std::uint32_t stream, std::uint32_t credit);
  // The exchange wants nothing more from this worker: taken back if unclaimed, else ABORT. The slot
  // stays the worker's until it has ended the request, and is still watched (look_at_requests()).
  void cancel(Exchange& exchange, ipc::AbortReason reason);

  // Takes every unclaimed request back; each exchange hears on_taken_back() and queues itself
  // again.
  void take_back_unclaimed();
  // When the oldest request that is still unclaimed was sent; time_point::max() if there is none.
  Clock::time_point oldest_unclaimed();

  // Looks at the time of each request (request_clock.h, worker_timeouts.cc) and does what is due:
  // 504, ABORT, on_worker_overdue(). True: there is something left to watch.
  bool look_at_requests();
  // Nothing outstanding but requests that have ignored their time-out.
  bool has_nothing_left() const { return load.outstanding == overdue_; }

  // Tells the worker that nothing follows.
  void send_drain();

  // At the end of a turn: one writev for all frames.
  void flush();

  // Takes in all that has arrived. The worker may be found broken, and be gone, after it.
  void receive_all();

  // The connection is no more: every exchange is told, with what the claim table says of it.
  void fail_all();

  // The requests that it has, for EdgeInspect.
  void add_to(ipc::EdgeReport& report) const;

  std::uint32_t id() const { return facts_.worker_id; }
  std::uint32_t pid() const { return facts_.pid; }
  std::uint32_t generation() const { return facts_.generation; }
  bool whole_requests() const { return facts_.whole_requests; }
  bool broken() const { return broken_; }

  WorkerLoad load;
  Clock::time_point last_progress{};  // the worker ended or began an answer
  bool idle_reported = false;         // the supervisor knows that it has nothing left

 private:
  struct Slot {
    Exchange* exchange =
        nullptr;  // null while in_use: the client has gone, the worker still runs it
    std::uint32_t stream = 0;
    bool in_use = false;
    bool heard = false;  // something came for it since the last look at its time
  };
  // What is known of a request that runs on without its exchange.
  struct Abandoned {
    std::string request_id;
    std::string line;  // method and path
    RequestTimes times;
  };

  static void on_ready(void* self, short what);
  // False: nothing more is there.
  bool receive();
  void handle(const ipc::Frame& frame);
  void handle_stream(const ipc::Frame& frame);
  void release(Slot& slot);
  void forget_abandoned(const Slot& slot);
  void send_abort(std::uint32_t stream, ipc::AbortReason reason);
  void time_out(Slot& slot, RequestClock::Verdict verdict);
  void report_overdue(Slot& slot, Clock::duration ran, std::string& reason);
  void fail(std::string reason);

  EdgeServices& services_;
  Upstream& upstream_;
  const ipc::WorkerAdd facts_;
  UniqueFd socket_;
  IoWatcher watcher_;
  ipc::ClaimTable claims_;
  ipc::FrameDecoder decoder_;
  ipc::FrameQueue out_;
  std::vector<Slot> slots_;
  std::vector<std::uint16_t> free_slots_;  // last freed first: its memory is warm
  std::deque<std::pair<std::uint32_t, Clock::time_point>> unclaimed_;  // in the order of sending
  std::uint32_t sequence_ = 0;
  std::vector<RequestClock> clocks_;                        // by slot; empty until the first look
  std::unordered_map<std::uint32_t, Abandoned> abandoned_;  // by stream
  std::uint32_t overdue_ = 0;                               // slots
  bool overdue_reported_ = false;
  ipc::ResponseHeadView head_;        // scratch
  std::vector<ipc::Field> trailers_;  // scratch
  bool greeted_ = false;
  bool broken_ = false;
};

}  // namespace saola::proxy
