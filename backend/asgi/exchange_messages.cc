// The part of Exchange that the application speaks with: what receive() gives and send() takes.
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "backend/asgi/exchange.h"
#include "backend/asgi/names.h"

namespace saola::backend::asgi {
namespace {

// Of a body that the edge has spooled, what one http.request message carries at most.
constexpr std::size_t kFilePiece = 64 * 1024;

// The bytes of a body message: the object itself, a copy of what is bytes-like, or empty with an
// exception set.
py::object body_bytes(PyObject* message) {
  py::object body = message_item(message, names().body);
  if (!body) return PyErr_Occurred() ? py::object() : borrow(names().empty_bytes);
  if (PyBytes_CheckExact(body.ptr())) return body;
  if (PyUnicode_Check(body.ptr()) || !PyObject_CheckBuffer(body.ptr())) {
    PyErr_Format(PyExc_TypeError, "http.response.body: body must be bytes, not %.100s",
                 Py_TYPE(body.ptr())->tp_name);
    return {};
  }
  return steal(PyBytes_FromObject(body.ptr()));
}

bool unexpected(const char* expected, PyObject* type) {
  PyErr_Format(PyExc_RuntimeError, "Expected ASGI message '%s', but got '%U'.", expected, type);
  return false;
}

}  // namespace

// --- receive() -----------------------------------------------------------------------------------

Step Exchange::receive(PyObject*& result) {
  if (stream_ != nullptr && !timed_out_ && answer_ != Answer::kComplete) {
    bool taken = false;
    if (!body_taken_ && !take_request_body(taken, result)) return Step::kError;
    if (taken) return Step::kDone;
    if (!disconnected_) return wait(receivers_, result);
  }
  result = PyDict_Copy(names().disconnect_message);
  return result != nullptr ? Step::kDone : Step::kError;
}

// Makes an http.request message of what is there, if anything is. False with an exception set.
bool Exchange::take_request_body(bool& taken, PyObject*& result) {
  const Names& n = names();
  py::object bytes = borrow(n.empty_bytes);
  bool complete = true;
  if (stream_->request.meta.body_length != 0) {
    std::string& scratch = context_->scratch;
    scratch.clear();
    if (stream_->body_file.valid()) {
      if (!read_body_file(scratch, complete)) return false;
    } else {
      const RequestChannel::BodyPart part = context_->channel.take_body(*stream_, scratch);
      context_->flusher.soon();  // the credit it gave back
      if (part.aborted) {
        disconnected_ = true;
        return true;
      }
      complete = part.complete;
      if (scratch.empty() && !complete) return true;
    }
    bytes = steal(new_bytes(scratch));
    if (!bytes) return false;
  }
  py::object message = steal(PyDict_Copy(n.request_message));
  if (!message || PyDict_SetItem(message.ptr(), n.body, bytes.ptr()) != 0 ||
      (!complete && PyDict_SetItem(message.ptr(), n.more_body, Py_True) != 0)) {
    return false;
  }
  body_taken_ = complete;
  taken = true;
  result = message.release().ptr();
  return true;
}

bool Exchange::read_body_file(std::string& out, bool& complete) {
  out.resize(kFilePiece);
  ssize_t count = 0;
  do {
    count = ::pread(stream_->body_file.get(), out.data(), out.size(), file_offset_);
  } while (count < 0 && errno == EINTR);
  const std::int64_t length = stream_->request.meta.body_length;
  if (count < 0 || (count == 0 && file_offset_ < length)) {
    errno = count < 0 ? errno : EIO;
    PyErr_SetFromErrno(PyExc_OSError);
    return false;
  }
  out.resize(static_cast<std::size_t>(count));
  file_offset_ += count;
  complete = count == 0 || file_offset_ == length;
  return true;
}

// --- send() --------------------------------------------------------------------------------------

Step Exchange::send(PyObject* message, int& phase, PyObject*& result) {
  // Phase 0: the message is still to be taken; 1: taken, waiting until all of it has left.
  if (!disconnected_) {
    if (rest_) return wait(senders_, result);
    if (phase == 0 && !handle_message(message)) return Step::kError;
    phase = 1;
    if (rest_) return wait(senders_, result);
  }
  result = Py_NewRef(Py_None);
  return Step::kDone;
}

bool Exchange::handle_message(PyObject* message) {
  const Names& n = names();
  const py::object type = message_type(message);
  if (!type) return false;
  // Reading a message may run code of the application's (a mapping of its own), and with it another
  // send().
  switch (answer_) {
    case Answer::kNotStarted:
      if (!same_text(type.ptr(), n.response_start)) {
        return unexpected("http.response.start", type.ptr());
      }
      return stream_ == nullptr || start_answer(message);
    case Answer::kHeadHeld:
    case Answer::kStreaming:
      if (!same_text(type.ptr(), n.response_body)) {
        return unexpected("http.response.body", type.ptr());
      }
      return stream_ == nullptr || continue_answer(message);
    case Answer::kComplete:
      PyErr_Format(PyExc_RuntimeError,
                   "Unexpected ASGI message '%U' sent, after response already completed.",
                   type.ptr());
      return false;
  }
  SAOLA_UNREACHABLE();
}

bool Exchange::start_answer(PyObject* message) {
  if (!head_.read(message)) return false;
  body_left_ = head_.content_length();
  bodyless_ = bodyless_ || head_.bodyless();
  answer_ = Answer::kHeadHeld;
  return true;
}

bool Exchange::continue_answer(PyObject* message) {
  py::object body = body_bytes(message);
  if (!body) return false;
  const py::object more_item = message_item(message, names().more_body);
  if (!more_item && PyErr_Occurred()) return false;
  const int more = more_item ? PyObject_IsTrue(more_item.ptr()) : 0;
  if (more < 0) return false;
  if (stream_ == nullptr) return true;
  if (!count_body(bytes_view(body.ptr()).size(), more != 0)) return false;
  send_piece(std::move(body), more != 0);
  return true;
}

// Holds the body against the content-length that the application gave (RFC 9110 section 8.6).
bool Exchange::count_body(std::size_t size, bool more) {
  if (body_left_ < 0 || bodyless_) return true;
  const auto bytes = static_cast<std::int64_t>(size);
  if (bytes <= body_left_ && (more || bytes == body_left_)) {
    body_left_ -= bytes;
    return true;
  }
  PyErr_SetString(PyExc_RuntimeError, bytes > body_left_
                                          ? "Response content longer than Content-Length"
                                          : "Response content shorter than Content-Length");
  return false;
}

void Exchange::send_piece(py::object body, bool more) {
  RequestChannel& channel = context_->channel;
  const std::string_view all = bytes_view(body.ptr());
  const std::string_view piece = bodyless_ ? std::string_view() : all;
  std::size_t taken = 0;
  if (answer_ == Answer::kHeadHeld) {
    std::int64_t length = head_.content_length();
    // The whole body is here, so its length is known; 204 and 304 must not tell that of none.
    if (length < 0 && !more && !head_.bodyless()) length = static_cast<std::int64_t>(all.size());
    RequestChannel::HeadInProgress head = channel.begin_head(*stream_, head_.status(), length);
    head_.write(head);
    taken = channel.end_head(std::move(head), *stream_, piece, !more);
    status_ = head_.status();
    head_.clear();
    answer_ = Answer::kStreaming;
  } else if (!piece.empty() || !more) {
    taken = channel.send_body(*stream_, piece, !more);
  }
  sent_ += piece.size();
  context_->flusher.soon();
  if (!more) answer_ = Answer::kComplete;
  if (taken < piece.size()) {
    rest_ = std::move(body);
    rest_at_ = taken;
    rest_ends_ = !more;
  } else if (!more) {
    release_stream();
  }
}

// Sends on what did not fit. It is the exchange's, not the awaitable's: a send() that is cancelled
// while it waits leaves no hole in the answer.
void Exchange::push_rest() {
  const std::string_view rest = bytes_view(rest_.ptr()).substr(rest_at_);
  const std::size_t taken = context_->channel.send_body(*stream_, rest, rest_ends_);
  if (taken > 0) context_->flusher.soon();
  rest_at_ += taken;
  if (taken < rest.size()) return;
  rest_ = {};
  if (rest_ends_) release_stream();
}

}  // namespace saola::backend::asgi
