#include "backend/wsgi/wsgi_call.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "backend/wsgi/file_wrapper.h"
#include "backend/wsgi/input_stream.h"

namespace saola::backend::wsgi {
namespace {

constexpr std::size_t kFileBlock = 64 * 1024;

std::string_view bytes_view(PyObject* bytes) {
  return {PyBytes_AS_STRING(bytes), static_cast<std::size_t>(PyBytes_GET_SIZE(bytes))};
}

bool is_plain_sequence(PyObject* object) {
  return PyList_CheckExact(object) != 0 || PyTuple_CheckExact(object) != 0;
}

bool require_bytes(PyObject* piece) {
  if (PyBytes_Check(piece) != 0) return true;
  PyErr_Format(PyExc_TypeError, "a WSGI response must give bytes, not %.100s",
               Py_TYPE(piece)->tp_name);
  return false;
}

// PEP 3333: with len() of one the length of the only piece is the length of the body.
bool has_one_piece(PyObject* iterable) {
  const PyTypeObject* type = Py_TYPE(iterable);
  const bool sized =
      (type->tp_as_sequence != nullptr && type->tp_as_sequence->sq_length != nullptr) ||
      (type->tp_as_mapping != nullptr && type->tp_as_mapping->mp_length != nullptr);
  if (!sized) return false;
  const Py_ssize_t size = PyObject_Size(iterable);
  if (size < 0) PyErr_Clear();
  return size == 1;
}

}  // namespace

WsgiCall::WsgiCall(RequestChannel& channel, EnvironFactory& environs, Interrupter& interrupter,
                   const AppLog& app_log, const Logger& log, PyObject* application, Hooks* hooks)
    : channel_(channel),
      environs_(environs),
      interrupter_(interrupter),
      app_log_(app_log),
      log_(log),
      application_(application),
      hooks_(hooks) {}

void WsgiCall::run(RequestStream& stream) {
  stream_ = &stream;
  head_.reset();
  is_head_request_ = stream.request.meta.method == ipc::Method::kHead;
  head_sent_ = ended_ = cut_ = false;
  sent_ = 0;
  {
    const RequestIdScope scope(request_id());
    if (stream.body_file_lost) {
      log_.write(LogLevel::kError, "no descriptor left for the request's body file", request_id());
      answer_plain(503, "503 Service Unavailable\nrequest id: " + std::string(request_id()) + "\n");
    } else if (!call_in_time()) {
      application_failed();
    }
    if (hook_request_) end_hooks();
    callables_.detach();
    if (input_) detach_input(input_.ptr());
    input_ = py::object();
  }
  channel_.finish(stream);
  stream_ = nullptr;
}

bool WsgiCall::call_in_time() {
  Interrupter::Scope time(interrupter_, *stream_);
  return time.enter() && call_application();
}

bool WsgiCall::prepare_input() {
  const bool empty = stream_->request.meta.body_length == 0 && !stream_->body_file.valid();
  if (empty) return true;
  input_ = make_input(channel_, *stream_);
  return static_cast<bool>(input_);
}

bool WsgiCall::call_application() {
  if (!prepare_input() || !callables_.attach(*this)) return false;
  // A chunked body has no Content-Length of its own, but its length is known by now.
  std::int64_t length = input_ ? stream_->request.meta.body_length : -1;
  if (input_ && length < 0) {
    length = settle_length(input_.ptr());
    if (length < 0) return true;  // the client went away: nobody waits for an answer
  }
  const auto environ = environs_.build(stream_->request, input_.ptr(), length);
  if (!environ) return false;
  if (hooks_ != nullptr) hook_request_ = hooks_->begin(stream_->request, environ.ptr());
  std::array<PyObject*, 3> args{nullptr, environ.ptr(), callables_.start_response()};
  const auto result = steal(PyObject_Vectorcall(application_, args.data() + 1,
                                                2 | PY_VECTORCALL_ARGUMENTS_OFFSET, nullptr));
  if (!result) return false;
  if (!send_result(result.ptr())) {
    application_failed();
  }
  if (!is_plain_sequence(result.ptr())) close_result(result.ptr());
  return true;
}

// --- what Python calls --------------------------------------------------------------------------

bool WsgiCall::start_response(PyObject* status, PyObject* headers, PyObject* exc_info) {
  if (exc_info != nullptr && head_sent_) {  // too late to change it: the exception goes on
    const auto type = borrow(PyTuple_GET_ITEM(exc_info, 0));
    const auto value = borrow(PyTuple_GET_ITEM(exc_info, 1));
    PyObject* traceback = PyTuple_GET_ITEM(exc_info, 2);
    PyErr_Restore(py::object(type).release().ptr(), py::object(value).release().ptr(),
                  traceback == Py_None ? nullptr : borrow(traceback).release().ptr());
    return false;
  }
  if (exc_info == nullptr && head_.is_set()) {
    PyErr_SetString(PyExc_AssertionError,
                    "start_response() was called a second time without exc_info");
    return false;
  }
  return head_.set(status, headers);
}

bool WsgiCall::write(PyObject* data) {
  if (!require_bytes(data) || !require_head()) return false;
  if (PyBytes_GET_SIZE(data) == 0) return true;
  put(bytes_view(data), false);
  flush_now();
  return true;
}

bool WsgiCall::require_head() {
  if (head_.is_set()) return true;
  PyErr_SetString(PyExc_AssertionError, "the application did not call start_response()");
  return false;
}

// --- the answer ---------------------------------------------------------------------------------

bool WsgiCall::send_result(PyObject* result) {
  if (is_plain_sequence(result)) return send_items(result);
  if (is_file_wrapper(result)) {
    bool sent = false;
    if (!send_file(result, sent)) return false;
    if (sent) return true;
  }
  return send_iterable(result);
}

// All of it is there: nothing runs between the pieces, so the whole length is known.
bool WsgiCall::send_items(PyObject* sequence) {
  if (!require_head()) return false;
  const Py_ssize_t count = PySequence_Fast_GET_SIZE(sequence);
  std::int64_t total = 0;
  for (Py_ssize_t i = 0; i < count; ++i) {
    PyObject* piece = PySequence_Fast_GET_ITEM(sequence, i);
    if (!require_bytes(piece)) return false;
    total += PyBytes_GET_SIZE(piece);
  }
  const bool length_tells = !is_head_request_ || total > 0;  // HEAD: frameworks drop the body
  if (!head_sent_ && head_.content_length() < 0 && length_tells) head_.set_content_length(total);
  for (Py_ssize_t i = 0; i < count && !ended_; ++i) {
    // Other threads may run while put() waits: keep the piece, whatever becomes of the list.
    if (i >= PySequence_Fast_GET_SIZE(sequence)) break;
    const auto piece = borrow(PySequence_Fast_GET_ITEM(sequence, i));
    if (PyBytes_GET_SIZE(piece.ptr()) > 0) put(bytes_view(piece.ptr()), i + 1 == count);
  }
  complete();
  return true;
}

bool WsgiCall::send_iterable(PyObject* iterable) {
  const bool one_piece = has_one_piece(iterable);
  const auto iterator = steal(PyObject_GetIter(iterable));
  if (!iterator) return false;
  while (const auto piece = steal(PyIter_Next(iterator.ptr()))) {
    if (!require_bytes(piece.ptr())) return false;
    if (PyBytes_GET_SIZE(piece.ptr()) == 0) continue;
    if (!require_head()) return false;
    if (one_piece && !head_sent_ && head_.content_length() < 0) {
      head_.set_content_length(PyBytes_GET_SIZE(piece.ptr()));
    }
    put(bytes_view(piece.ptr()), false);
    if (bodyless() || cut_ || channel_.is_aborted(*stream_)) break;
    if (!ended_) flush_now();
  }
  if (PyErr_Occurred() != nullptr || !require_head()) return false;
  complete();
  return true;
}

bool WsgiCall::send_file(PyObject* wrapper, bool& sent) {
  const auto file = open_plain_file(wrapper);
  if (!file) return true;
  if (!require_head()) return false;
  sent = true;
  off_t at = file->at;
  off_t left = file->size - file->at;
  if (head_.content_length() >= 0) left = std::min<off_t>(left, head_.content_length());
  if (!head_sent_ && head_.content_length() < 0) head_.set_content_length(left);
  std::string block;
  while (left > 0 && !ended_ && !bodyless() && !channel_.is_aborted(*stream_)) {
    block.resize(std::min(kFileBlock, static_cast<std::size_t>(left)));
    ssize_t got = 0;
    {
      const GilRelease released;
      got = ::pread(file->fd, block.data(), block.size(), at);
    }
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      PyErr_SetFromErrno(PyExc_OSError);
      return false;
    }
    if (got == 0) break;  // the file shrank: complete() breaks the answer off
    put(std::string_view(block).substr(0, static_cast<std::size_t>(got)), false);
    at += got;
    left -= got;
  }
  complete();
  return true;
}

void WsgiCall::put(std::string_view data, bool last) {
  if (bodyless()) return put_head_alone();
  const std::int64_t length = head_.content_length();
  if (length >= 0 && sent_ + static_cast<std::int64_t>(data.size()) > length) {
    data = data.substr(0, static_cast<std::size_t>(length - sent_));
    if (!std::exchange(cut_, true)) {
      log_.write(LogLevel::kError,
                 heading() + ": the application gave more than its Content-Length of " +
                     std::to_string(length) + " bytes; the rest is dropped",
                 request_id());
    }
  }
  sent_ += static_cast<std::int64_t>(data.size());
  const bool end = length >= 0 ? sent_ == length : last;
  if (ended_ || (data.empty() && head_sent_ && !end)) return;
  const std::size_t taken = put_some(data, end);
  if (taken < data.size()) put_rest(data.substr(taken), end);
  ended_ = end;
}

std::size_t WsgiCall::put_some(std::string_view data, bool end) {
  if (head_sent_) return channel_.send_body(*stream_, data, end);
  auto head = channel_.begin_head(*stream_, head_.status(), head_.content_length(), head_.reason());
  head_.encode(head);
  head_sent_ = true;
  return channel_.end_head(std::move(head), *stream_, data, end);
}

// The window is used up: the client reads slowly.
void WsgiCall::put_rest(std::string_view data, bool end) {
  const GilRelease released;
  while (!data.empty()) {
    channel_.flush();
    channel_.wait_window(*stream_);
    data.remove_prefix(channel_.send_body(*stream_, data, end));
  }
}

// HEAD, 204, 304: the head is the whole answer.
void WsgiCall::put_head_alone() {
  if (head_sent_) return;
  if (head_.status() == 204) head_.set_content_length(-1);
  put_some({}, true);
  ended_ = true;
}

void WsgiCall::complete() {
  if (ended_) return;
  if (bodyless()) return put_head_alone();
  const std::int64_t length = head_.content_length();
  if (!head_sent_ && length < 0) head_.set_content_length(0);
  if (length < 0 || sent_ == length) {
    put_some({}, true);
  } else {
    if (!head_sent_) put_some({}, false);
    if (!channel_.is_aborted(*stream_)) {
      log_.write(LogLevel::kError,
                 heading() + ": the application gave " + std::to_string(sent_) +
                     " bytes, but its Content-Length is " + std::to_string(length) +
                     "; the answer is broken off",
                 request_id());
    }
    channel_.send_abort(*stream_, ipc::AbortReason::kProtocol);
  }
  ended_ = true;
}

void WsgiCall::flush_now() {
  const GilRelease released;
  channel_.flush();
}

void WsgiCall::close_result(PyObject* result) {
  const auto close = steal(PyObject_GetAttrString(result, "close"));
  if (!close) {
    if (PyErr_ExceptionMatches(PyExc_AttributeError) != 0) return PyErr_Clear();
  } else if (steal(PyObject_CallNoArgs(close.ptr()))) {
    return;
  }
  app_log_.exception(heading() + ": exception in close()", take_traceback(), request_id());
}

void WsgiCall::end_hooks() {
  const bool headed = head_sent_;
  hooks_->end(hook_request_.ptr(), headed ? head_.status() : std::uint16_t{0},
              headed ? head_.reason() : std::string_view(), static_cast<std::uint64_t>(sent_));
  hook_request_ = py::object();
}

// --- failures -----------------------------------------------------------------------------------

void WsgiCall::application_failed() {
  PendingException pending;
  const bool nobody_waits = channel_.is_aborted(*stream_) && pending.matches(PyExc_OSError);
  if (pending.matches(interrupter_.exception())) {
    log_.write(LogLevel::kWarning, heading() + ": its time was up; the application was interrupted",
               request_id());
  } else if (nobody_waits) {
    log_.debug("{}: the client went away", heading());
  } else {
    app_log_.exception(heading() + ": exception in the application", pending.format(),
                       request_id());
  }
  if (!head_sent_) {
    answer_plain(500, "500 Internal Server Error\nrequest id: " + std::string(request_id()) + "\n");
  } else if (!ended_) {
    channel_.send_abort(*stream_, ipc::AbortReason::kAppFailed);
    ended_ = true;
  }
}

void WsgiCall::answer_plain(std::uint16_t status, std::string_view text) {
  head_.set_plain(status, text.size());
  sent_ = 0;
  put(text, true);
  complete();
}

std::string WsgiCall::heading() const {
  const auto& meta = stream_->request.meta;
  std::string text(meta.method == ipc::Method::kOther ? meta.method_text
                                                      : ipc::method_name(meta.method));
  text += ' ';
  text += meta.raw_path;
  return text;
}

}  // namespace saola::backend::wsgi
