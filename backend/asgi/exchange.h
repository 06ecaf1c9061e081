// Exchange: one request in the ASGI host, from its claim until the application's call has ended and
// its answer has left.
//
//   kNotStarted --start--> kHeadHeld --first body--> kStreaming --last body--> kComplete
//        |                     |                          |
//        +---- failure: a plain 500 -----> kComplete      +-- failure: ABORT --> kComplete
//
// The stream is given back to the channel as soon as the answer is complete, its client has gone or
// it is broken off; the application may run on (background tasks). From then on receive() gives
// http.disconnect; send() does nothing if the client has gone, and raises RuntimeError otherwise.
//
// A client that goes away does not cancel the application: it is told through receive(), as uvicorn
// does it. A time-out of the edge's does: the task is cancelled, and the stream is given back when
// it has ended, so that the edge sees one that ignores it. The end of an edge takes all its clients
// away. What then runs on is an orphan: the new edge does not know that it takes up concurrency.
//
// Reference-counted under the GIL: by the context's list until it is over, and by the application's
// receive and send (channels.h). All functions need the GIL and no pending exception, but where
// noted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "backend/app_log.h"
#include "backend/asgi/app_call.h"
#include "backend/asgi/awaitable.h"
#include "backend/asgi/flusher.h"
#include "backend/asgi/py_loop.h"
#include "backend/asgi/response_head.h"
#include "backend/hooks.h"
#include "backend/request_channel.h"

namespace saola::backend::asgi {

class Exchange;

// What all exchanges of a host share. Outlives each exchange's detach().
struct ExchangeContext {
  RequestChannel& channel;
  PyLoop& loop;
  Flusher& flusher;
  const AppLog& app_log;
  std::function<void()> on_last_over;  // after an exchange is over: none is left

  Exchange* first = nullptr;  // those that are not over, newest first
  std::size_t count = 0;
  std::size_t orphans = 0;          // of them: their edge has died
  std::function<void()> on_room{};  // there were orphans, and something has ended
  std::string scratch{};            // a body on its way to Python
  Hooks* hooks = nullptr;           // null: none
};

class Exchange final : public AppCallOwner {
 public:
  // Takes over `stream`, which was just claimed; sets its host record. The context holds the first
  // reference.
  static Exchange& begin(ExchangeContext& context, RequestStream& stream);
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  void add_reference() { ++references_; }
  void drop_reference();

  PyObject* request_id() const { return request_id_.ptr(); }
  // The task that runs the application, and its coroutine.
  void set_task(PyObject* call, py::object task);
  const py::object& task() const { return task_; }
  Exchange* next() const { return next_; }

  // One step of an await of receive() or send(message): see awaitable.h. `phase` is the
  // awaitable's.
  Step receive(PyObject*& result);
  Step send(PyObject* message, int& phase, PyObject*& result);

  // What Hooks::begin() made; Hooks::end() follows at the end of the call.
  void set_hook_request(py::object request) { hook_request_ = std::move(request); }

  // The channel says that something happened: a piece of body, window, or the client has gone.
  void on_event();
  void app_ended(AppEnd end) override;
  // The application could not be called; the pending exception says why.
  void could_not_start();
  // Answers `status` without calling the application.
  void refuse(std::uint16_t status);
  // The host goes away while the application still runs.
  void detach();

 private:
  enum class Answer : std::uint8_t { kNotStarted, kHeadHeld, kStreaming, kComplete };

  Exchange(ExchangeContext& context, RequestStream& stream);
  ~Exchange() = default;

  bool take_request_body(bool& taken, PyObject*& result);
  bool read_body_file(std::string& out, bool& complete);
  Step wait(std::vector<py::object>& waiters, PyObject*& result);

  bool handle_message(PyObject* message);
  bool start_answer(PyObject* message);
  bool continue_answer(PyObject* message);
  bool count_body(std::size_t size, bool more);
  void send_piece(py::object body, bool more);
  void push_rest();

  void answer_plainly(std::uint16_t status);
  void answer_failed(ipc::AbortReason reason);
  void log_end(AppEnd end);
  void end_hooks();
  void time_out();
  void release_stream();
  void retire_if_over();
  const char* incomplete_text() const;

  ExchangeContext* context_;  // null once over or detached
  RequestStream* stream_;     // null once given back
  Exchange* next_ = nullptr;
  Exchange* previous_ = nullptr;
  std::size_t references_ = 1;
  py::object request_id_;
  py::object task_;
  py::object hook_request_;  // between the hooks of a request
  AppCall* call_ = nullptr;  // lives as long as the task; null once ended
  bool app_over_ = false;
  bool orphan_ = false;
  bool timed_out_ = false;

  // Request
  bool disconnected_ = false;
  bool body_taken_ = false;            // http.request with more_body False was given
  std::int64_t file_offset_ = 0;       // into stream_->body_file
  std::vector<py::object> receivers_;  // futures of waiting receive()s

  // Answer
  Answer answer_ = Answer::kNotStarted;
  bool bodyless_ = false;        // HEAD, 204, 304
  std::int64_t body_left_ = -1;  // of the content-length that the application gave; -1: none given
  std::uint16_t status_ = 0;     // of the head that was sent
  std::uint64_t sent_ = 0;       // bytes of body, for hooks
  ResponseHead head_;
  py::object rest_;  // bytes that did not fit into the window, or empty
  std::size_t rest_at_ = 0;
  bool rest_ends_ = false;
  std::vector<py::object> senders_;  // futures of waiting send()s
};

}  // namespace saola::backend::asgi
