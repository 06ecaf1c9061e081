#include "backend/asgi/exchange.h"

#include <fmt/format.h>

#include <utility>

#include "backend/asgi/names.h"

namespace saola::backend::asgi {
namespace {

FreeList<Exchange> free_exchanges;

}  // namespace

Exchange& Exchange::begin(ExchangeContext& context, RequestStream& stream) {
  void* storage = free_exchanges.take();
  if (storage == nullptr) storage = ::operator new(sizeof(Exchange));
  auto& self = *new (storage) Exchange(context, stream);
  stream.host = &self;
  self.next_ = context.first;
  if (self.next_ != nullptr) self.next_->previous_ = &self;
  context.first = &self;
  ++context.count;
  return self;
}

Exchange::Exchange(ExchangeContext& context, RequestStream& stream)
    : context_(&context), stream_(&stream) {
  const ipc::RequestMeta& meta = stream.request.meta;
  bodyless_ = meta.method == ipc::Method::kHead;
  request_id_ = steal(PyUnicode_DecodeLatin1(
      meta.request_id.data(), static_cast<Py_ssize_t>(meta.request_id.size()), nullptr));
  if (!request_id_) {
    PyErr_Clear();
    request_id_ = borrow(names().empty_text);
  }
}

void Exchange::drop_reference() {
  if (--references_ > 0) return;
  this->~Exchange();
  if (!free_exchanges.put(this)) ::operator delete(this);
}

void Exchange::set_task(PyObject* call, py::object task) {
  call_ = reinterpret_cast<AppCall*>(call);
  task_ = std::move(task);
}

Step Exchange::wait(std::vector<py::object>& waiters, PyObject*& result) {
  result = context_->loop.create_future();
  if (result == nullptr) return Step::kError;
  waiters.push_back(borrow(result));
  return Step::kWait;
}

// --- the end of things ---------------------------------------------------------------------------

void Exchange::on_event() {
  if (stream_ == nullptr) return;
  if (context_->channel.is_aborted(*stream_)) {
    disconnected_ = true;
    orphan_ = context_->channel.is_detached(*stream_);
    if (!orphan_ && task_ && context_->channel.is_timed_out(*stream_)) return time_out();
    if (orphan_) ++context_->orphans;
    release_stream();
    retire_if_over();
    return;
  }
  if (rest_) push_rest();
  if (!rest_ && !senders_.empty()) wake(senders_);
  // A receive() that waits for the disconnect has no use for windows.
  if (!body_taken_ && !receivers_.empty()) wake(receivers_);
  retire_if_over();
}

// Once; what the application does then is its own affair until it ends.
void Exchange::time_out() {
  if (std::exchange(timed_out_, true)) return;
  rest_ = {};
  head_.clear();
  const py::object task = task_;
  if (!steal(PyObject_CallMethod(task.ptr(), "cancel", nullptr))) PyErr_WriteUnraisable(task.ptr());
  // Other tasks of the application's may wait here for it.
  wake(receivers_);
  wake(senders_);
}

// No more can be received or sent: who waits for either must know.
void Exchange::release_stream() {
  context_->channel.finish(*std::exchange(stream_, nullptr));
  context_->flusher.soon();
  if (context_->orphans > 0) context_->on_room();
  rest_ = {};
  head_.clear();
  if (!receivers_.empty()) wake(receivers_);
  if (!senders_.empty()) wake(senders_);
}

void Exchange::retire_if_over() {
  if (!app_over_ || stream_ != nullptr || context_ == nullptr) return;
  ExchangeContext& context = *std::exchange(context_, nullptr);
  (previous_ == nullptr ? context.first : previous_->next_) = next_;
  if (next_ != nullptr) next_->previous_ = previous_;
  --context.count;
  const bool orphan = orphan_;
  if (orphan) --context.orphans;
  drop_reference();
  if (orphan) context.on_room();
  if (context.count == 0) context.on_last_over();
}

void Exchange::detach() {
  if (call_ != nullptr) call_->owner = nullptr;
  call_ = nullptr;
  app_over_ = true;
  task_ = {};
  if (stream_ != nullptr) {
    disconnected_ = true;
    context_->channel.finish(*std::exchange(stream_, nullptr));
  }
  retire_if_over();
}

void Exchange::app_ended(AppEnd end) {
  call_ = nullptr;
  app_over_ = true;
  const bool failed = end == AppEnd::kRaised;
  PendingException pending;
  if (timed_out_ && !failed) {
    context_->app_log.logger().write(
        LogLevel::kWarning, "its time was up; the task of the ASGI application was cancelled",
        to_text(request_id_.ptr()));
  }
  if (failed) {
    std::string heading = "Exception in ASGI application";
    if (timed_out_) {
      heading += " after its time was up";
    } else if (disconnected_) {
      heading += " after its client had gone";
    }
    context_->app_log.exception(heading, pending.format(), to_text(request_id_.ptr()));
  }
  if (stream_ != nullptr && timed_out_) {
    release_stream();
  } else if (stream_ != nullptr && answer_ != Answer::kComplete) {
    if (!failed) log_end(end);
    answer_failed(failed || end == AppEnd::kCancelled ? ipc::AbortReason::kAppFailed
                                                      : ipc::AbortReason::kProtocol);
  }
  end_hooks();
  const py::object task = std::exchange(task_, {});
  retire_if_over();
  if (end == AppEnd::kCancelled) pending.restore();
}

// An answer that was not completed, without an exception that says why.
void Exchange::log_end(AppEnd end) {
  const Logger& log = context_->app_log.logger();
  if (!log.enabled(LogLevel::kError)) return;
  const char* text =
      end == AppEnd::kCancelled   ? "ASGI task was cancelled before the answer was complete"
      : end == AppEnd::kAbandoned ? "ASGI task was destroyed before the answer was complete"
                                  : incomplete_text();
  log.write(LogLevel::kError, text, to_text(request_id_.ptr()));
}

const char* Exchange::incomplete_text() const {
  return answer_ == Answer::kNotStarted
             ? "ASGI application returned without starting a response"
             : "ASGI application returned without completing its response";
}

void Exchange::could_not_start() {
  app_over_ = true;
  context_->app_log.exception("Could not start the ASGI application", take_traceback(),
                              to_text(request_id_.ptr()));
  answer_failed(ipc::AbortReason::kAppFailed);
  end_hooks();
  retire_if_over();
}

void Exchange::end_hooks() {
  if (!hook_request_) return;
  const py::object request = std::exchange(hook_request_, {});
  context_->hooks->end(request.ptr(), status_, {}, sent_);
}

void Exchange::refuse(std::uint16_t status) {
  app_over_ = true;
  answer_plainly(status);
  retire_if_over();
}

// The application will not complete its answer.
void Exchange::answer_failed(ipc::AbortReason reason) {
  if (answer_ == Answer::kNotStarted || answer_ == Answer::kHeadHeld) {
    answer_plainly(500);
    return;
  }
  answer_ = Answer::kComplete;
  context_->channel.send_abort(*stream_, reason);
  release_stream();
}

// The same text as the edge's own error answers.
void Exchange::answer_plainly(std::uint16_t status) {
  RequestChannel& channel = context_->channel;
  const ipc::RequestMeta& meta = stream_->request.meta;
  const std::string text = fmt::format(
      "{}\nrequest id: {}\n",
      status == 503 ? "503 Service Unavailable" : "500 Internal Server Error", meta.request_id);
  const bool head_only = meta.method == ipc::Method::kHead;
  RequestChannel::HeadInProgress head =
      channel.begin_head(*stream_, status, static_cast<std::int64_t>(text.size()));
  head.add(ipc::field::kContentType, "content-type", "text/plain; charset=utf-8");
  const std::string_view body = head_only ? std::string_view() : std::string_view(text);
  const std::size_t taken = channel.end_head(std::move(head), *stream_, body, true);
  if (taken < body.size()) channel.send_abort(*stream_, ipc::AbortReason::kAppFailed);
  answer_ = Answer::kComplete;
  status_ = status;
  sent_ = taken;
  release_stream();
}

}  // namespace saola::backend::asgi
