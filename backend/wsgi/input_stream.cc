#include "backend/wsgi/input_stream.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

namespace saola::backend::wsgi {
namespace {

// What one fetch from the file brings; also the step in which readline looks for a line's end.
constexpr std::size_t kFilePiece = 64 * 1024;

class Source {
 public:
  Source(RequestChannel& channel, RequestStream& stream)
      : channel_(&channel), stream_(&stream), file_(std::move(stream.body_file)) {
    struct stat info {};
    if (file_ && ::fstat(file_.get(), &info) == 0) file_size_ = info.st_size;
    ended_ = file_.valid();
  }
  Source() { ended_ = true; }

  std::size_t buffered() const { return buffer_.size() - at_; }
  std::size_t in_file() const { return static_cast<std::size_t>(file_size_ - file_at_); }
  std::string_view peek() const { return std::string_view(buffer_).substr(at_); }
  void skip(std::size_t bytes) { at_ += bytes; }
  bool from_file() const { return file_.valid(); }
  void detach() { stream_ = nullptr; }

  // More into the buffer. 1: there is more, 0: the end, -1: an exception is pending.
  int fetch() {
    if (at_ > 0) {
      buffer_.erase(0, at_);
      at_ = 0;
    }
    if (file_) return fetch_file();
    if (ended_) return 0;
    return fetch_stream();
  }

  // From the file straight to where it is wanted.
  bool read_file(char* to, std::size_t size) {
    int error = 0;
    {
      const GilRelease released;
      while (size > 0 && error == 0) {
        const ssize_t got = ::pread(file_.get(), to, size, file_at_);
        if (got > 0) {
          to += got;
          size -= static_cast<std::size_t>(got);
          file_at_ += got;
        } else if (got == 0) {
          error = EIO;  // shorter than when it was handed over
        } else if (errno != EINTR) {
          error = errno;
        }
      }
    }
    if (error == 0) return true;
    errno = error;
    PyErr_SetFromErrno(PyExc_OSError);
    return false;
  }

  // All of it into the buffer. False: the client went away.
  bool settle() {
    for (;;) {
      if (file_ || ended_) return true;
      if (fetch_stream(true) < 0) {
        PyErr_Clear();
        return false;
      }
    }
  }
  std::int64_t length() const { return file_ ? file_size_ : static_cast<std::int64_t>(buffered()); }

 private:
  int fetch_file() {
    const std::size_t size = std::min(kFilePiece, in_file());
    if (size == 0) return 0;
    const std::size_t before = buffer_.size();
    buffer_.resize(before + size);
    if (read_file(buffer_.data() + before, size)) return 1;
    buffer_.resize(before);
    return -1;
  }

  int fetch_stream(bool keep = false) {
    if (stream_ == nullptr) {
      PyErr_SetString(PyExc_OSError, "the request has ended; its body can no longer be read");
      return -1;
    }
    const std::size_t before = buffer_.size();
    auto part = channel_->take_body(*stream_, buffer_);
    if (buffer_.size() == before && !part.complete && !part.aborted) {
      const GilRelease released;
      channel_->flush();
      channel_->wait_body(*stream_);
      part = channel_->take_body(*stream_, buffer_);
    }
    ended_ = part.complete;
    if (buffer_.size() > before || (keep && part.complete)) return 1;
    if (!part.aborted) return 0;
    PyErr_SetString(PyExc_ConnectionResetError, "the client went away before the body's end");
    return -1;
  }

  RequestChannel* channel_ = nullptr;
  RequestStream* stream_ = nullptr;
  UniqueFd file_;
  off_t file_size_ = 0;
  off_t file_at_ = 0;
  std::string buffer_;
  std::size_t at_ = 0;  // read so far of buffer_
  bool ended_ = false;  // nothing will be added to buffer_
};

struct InputObject {
  PyObject_HEAD Source* source;
};

PyTypeObject* input_type = nullptr;

Source& source_of(PyObject* self) { return *reinterpret_cast<InputObject*>(self)->source; }

PyObject* new_input(Source* source) {
  PyObject* object = input_type->tp_alloc(input_type, 0);
  if (object == nullptr) {
    delete source;
    return nullptr;
  }
  reinterpret_cast<InputObject*>(object)->source = source;
  return object;
}

void input_dealloc(PyObject* self) {
  delete reinterpret_cast<InputObject*>(self)->source;
  PyTypeObject* type = Py_TYPE(self);
  type->tp_free(self);
  Py_DECREF(type);
}

PyObject* take(Source& source, std::size_t size) {
  const auto text = source.peek().substr(0, size);
  PyObject* bytes = PyBytes_FromStringAndSize(text.data(), static_cast<Py_ssize_t>(text.size()));
  if (bytes != nullptr) source.skip(text.size());
  return bytes;
}

// A size argument: absent, None or negative mean "all" (limit -1).
bool size_argument(PyObject* const* args, Py_ssize_t count, Py_ssize_t& limit) {
  limit = -1;
  if (count > 1) {
    PyErr_SetString(PyExc_TypeError, "at most one argument: the size");
    return false;
  }
  if (count == 0 || args[0] == Py_None) return true;
  limit = PyNumber_AsSsize_t(args[0], PyExc_OverflowError);
  return limit != -1 || PyErr_Occurred() == nullptr;
}

// What lies in the file goes into the result without a stop in the buffer.
PyObject* read_from_file(Source& source, std::size_t limit) {
  const auto buffered = source.peek().substr(0, limit);
  const std::size_t rest = std::min(limit - buffered.size(), source.in_file());
  PyObject* bytes =
      PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(buffered.size() + rest));
  if (bytes == nullptr) return nullptr;
  std::memcpy(PyBytes_AS_STRING(bytes), buffered.data(), buffered.size());
  source.skip(buffered.size());
  if (source.read_file(PyBytes_AS_STRING(bytes) + buffered.size(), rest)) return bytes;
  Py_DECREF(bytes);
  return nullptr;
}

PyObject* input_read(PyObject* self, PyObject* const* args, Py_ssize_t count) {
  Py_ssize_t limit = 0;
  if (!size_argument(args, count, limit)) return nullptr;
  auto& source = source_of(self);
  const auto wanted = limit < 0 ? static_cast<std::size_t>(-1) : static_cast<std::size_t>(limit);
  if (source.from_file()) return read_from_file(source, wanted);
  while (source.buffered() < wanted) {
    const int more = source.fetch();
    if (more < 0) return nullptr;
    if (more == 0) break;
  }
  return take(source, wanted);
}

PyObject* next_line(Source& source, std::size_t limit) {
  std::size_t searched = 0;
  for (;;) {
    const auto text = source.peek();
    const auto end = text.find('\n', searched);
    if (end != std::string_view::npos) return take(source, std::min(end + 1, limit));
    if (text.size() >= limit) return take(source, limit);
    searched = text.size();
    const int more = source.fetch();
    if (more < 0) return nullptr;
    if (more == 0) return take(source, limit);
  }
}

PyObject* input_readline(PyObject* self, PyObject* const* args, Py_ssize_t count) {
  Py_ssize_t limit = 0;
  if (!size_argument(args, count, limit)) return nullptr;
  return next_line(source_of(self),
                   limit < 0 ? static_cast<std::size_t>(-1) : static_cast<std::size_t>(limit));
}

PyObject* input_next(PyObject* self) {
  auto line = steal(next_line(source_of(self), static_cast<std::size_t>(-1)));
  if (!line || PyBytes_GET_SIZE(line.ptr()) == 0) return nullptr;
  return line.release().ptr();
}

PyObject* input_readlines(PyObject* self, PyObject* const* args, Py_ssize_t count) {
  Py_ssize_t hint = 0;
  if (!size_argument(args, count, hint)) return nullptr;
  auto lines = steal(PyList_New(0));
  Py_ssize_t bytes = 0;
  while (lines && (hint <= 0 || bytes < hint)) {
    const auto line = steal(input_next(self));
    if (!line) break;
    bytes += PyBytes_GET_SIZE(line.ptr());
    if (PyList_Append(lines.ptr(), line.ptr()) != 0) return nullptr;
  }
  return PyErr_Occurred() != nullptr ? nullptr : lines.release().ptr();
}

// For io.BufferedReader and io.TextIOWrapper around the stream.
PyObject* input_readinto(PyObject* self, PyObject* target) {
  Py_buffer view;
  if (PyObject_GetBuffer(target, &view, PyBUF_WRITABLE) != 0) return nullptr;
  auto& source = source_of(self);
  const int more = source.buffered() > 0 ? 1 : source.fetch();
  PyObject* result = nullptr;
  if (more >= 0) {
    const auto text = source.peek().substr(0, static_cast<std::size_t>(view.len));
    std::memcpy(view.buf, text.data(), text.size());
    source.skip(text.size());
    result = PyLong_FromSize_t(text.size());
  }
  PyBuffer_Release(&view);
  return result;
}

PyObject* answer_true(PyObject*, PyObject*) { Py_RETURN_TRUE; }
PyObject* answer_false(PyObject*, PyObject*) { Py_RETURN_FALSE; }
PyObject* answer_none(PyObject*, PyObject*) { Py_RETURN_NONE; }
PyObject* get_closed(PyObject*, void*) { Py_RETURN_FALSE; }

template <auto Function>
PyCFunction fast() {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(Function));
}

}  // namespace

Result<void> init_input_type() {
  static PyMethodDef methods[] = {{"read", fast<&input_read>(), METH_FASTCALL, nullptr},
                                  {"read1", fast<&input_read>(), METH_FASTCALL, nullptr},
                                  {"readline", fast<&input_readline>(), METH_FASTCALL, nullptr},
                                  {"readlines", fast<&input_readlines>(), METH_FASTCALL, nullptr},
                                  {"readinto", &input_readinto, METH_O, nullptr},
                                  {"readable", &answer_true, METH_NOARGS, nullptr},
                                  {"writable", &answer_false, METH_NOARGS, nullptr},
                                  {"seekable", &answer_false, METH_NOARGS, nullptr},
                                  {"close", &answer_none, METH_NOARGS, nullptr},
                                  {nullptr, nullptr, 0, nullptr}};
  static PyGetSetDef attributes[] = {{"closed", &get_closed, nullptr, nullptr, nullptr},
                                     {nullptr, nullptr, nullptr, nullptr, nullptr}};
  static PyType_Slot slots[] = {{Py_tp_dealloc, reinterpret_cast<void*>(&input_dealloc)},
                                {Py_tp_methods, methods},
                                {Py_tp_getset, attributes},
                                {Py_tp_iter, reinterpret_cast<void*>(&PyObject_SelfIter)},
                                {Py_tp_iternext, reinterpret_cast<void*>(&input_next)},
                                {0, nullptr}};
  static PyType_Spec spec = {"saola.Input", sizeof(InputObject), 0,
                             Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots};
  input_type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&spec));
  if (input_type == nullptr) return python_failure();
  return {};
}

py::object make_input(RequestChannel& channel, RequestStream& stream) {
  return steal(new_input(new Source(channel, stream)));
}

py::object make_empty_input() { return steal(new_input(new Source())); }

std::int64_t settle_length(PyObject* input) {
  auto& source = source_of(input);
  return source.settle() ? source.length() : -1;
}

void detach_input(PyObject* input) { source_of(input).detach(); }

}  // namespace saola::backend::wsgi
