#include "backend/app_log.h"

#include <array>
#include <map>
#include <thread>

namespace saola::backend {
namespace {

constexpr const char* kStreamsSource =
#include "python/streams.inc"
    ;

// What is longer is cut into several records: an application that never ends its line, or that
// writes megabytes at once, fills neither memory nor the log's queue with one of them.
constexpr std::size_t kLongestLine = 64 * 1024;
// Threads with an unfinished line; one more ends somebody's.
constexpr std::size_t kMostUnfinished = 256;

// A piece of `text` for one record: whole lines if it has any, else whole characters.
std::string_view first_piece(std::string_view text) {
  if (text.size() <= kLongestLine) return text;
  std::size_t end = text.rfind('\n', kLongestLine - 1);
  if (end != std::string_view::npos) return text.substr(0, end + 1);
  end = kLongestLine;
  while (end > kLongestLine - 3 && (static_cast<unsigned char>(text[end]) & 0xc0U) == 0x80) --end;
  return text.substr(0, end);
}

std::size_t stream_number(PyObject* argument) { return PyLong_AsLong(argument) == 2 ? 1 : 0; }

}  // namespace

// Guarded by the GIL.
struct AppLog::Streams {
  Logger log;
  py::object context_var;
  std::array<std::map<std::thread::id, std::string>, 2> unfinished;

  explicit Streams(Logger logger) : log(std::move(logger)) {}

  std::string request_id() const {
    if (!RequestIdScope::current().empty()) return std::string(RequestIdScope::current());
    PyObject* value = nullptr;
    if (!context_var || PyContextVar_Get(context_var.ptr(), nullptr, &value) != 0) {
      PyErr_Clear();
      return {};
    }
    const auto owned = steal(value);
    return owned && PyUnicode_Check(owned.ptr()) ? to_text(owned.ptr()) : std::string();
  }

  void record(std::size_t number, std::string_view text) const {
    while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.remove_suffix(1);
    if (text.empty()) return;
    const auto level = number == 0 ? LogLevel::kInfo : LogLevel::kError;
    if (text.find('\n') == std::string_view::npos) {
      log.write(level, text, request_id());
    } else {
      log.write_block(level, text, request_id());
    }
  }

  void emit(std::size_t number, std::string_view text) {
    do {
      const std::string_view piece = first_piece(text);
      emit_piece(number, piece);
      text.remove_prefix(piece.size());
    } while (!text.empty());
  }

  void emit_piece(std::size_t number, std::string_view text) {
    auto& lines = unfinished[number];
    const auto self = std::this_thread::get_id();
    const auto waiting = lines.find(self);
    const auto end = text.rfind('\n');
    if (waiting == lines.end() && end + 1 == text.size()) return record(number, text);
    if (waiting == lines.end() && lines.size() >= kMostUnfinished) {
      record(number, lines.begin()->second);
      lines.erase(lines.begin());
    }
    std::string& line = waiting == lines.end() ? lines[self] : waiting->second;
    if (end == std::string_view::npos) {
      line.append(text);
      if (line.size() >= kLongestLine) finish(number);
      return;
    }
    line.append(text.substr(0, end));
    record(number, line);
    line.assign(text.substr(end + 1));
    if (line.empty()) lines.erase(self);
  }

  void finish(std::size_t number) {
    const auto waiting = unfinished[number].find(std::this_thread::get_id());
    if (waiting == unfinished[number].end()) return;
    record(number, waiting->second);
    unfinished[number].erase(waiting);
  }

  static Streams& of(PyObject* capsule) {
    return **static_cast<std::shared_ptr<Streams>*>(PyCapsule_GetPointer(capsule, nullptr));
  }
  static PyObject* py_emit(PyObject* self, PyObject* const* args, Py_ssize_t count);
  static PyObject* py_finish(PyObject* self, PyObject* number);
};

PyObject* AppLog::Streams::py_emit(PyObject* self, PyObject* const* args, Py_ssize_t count) {
  if (count != 2 || PyUnicode_Check(args[1]) == 0) {
    PyErr_SetString(PyExc_TypeError, "emit(number, text)");
    return nullptr;
  }
  Py_ssize_t size = 0;
  if (const char* text = PyUnicode_AsUTF8AndSize(args[1], &size); text != nullptr) {
    of(self).emit(stream_number(args[0]), {text, static_cast<std::size_t>(size)});
  } else {  // lone surrogates
    PyErr_Clear();
    of(self).emit(stream_number(args[0]), to_text(args[1]));
  }
  Py_RETURN_NONE;
}

PyObject* AppLog::Streams::py_finish(PyObject* self, PyObject* number) {
  of(self).finish(stream_number(number));
  Py_RETURN_NONE;
}

AppLog::AppLog(Logger log) : log_(std::move(log)), streams_(std::make_shared<Streams>(log_)) {}

AppLog::~AppLog() {
  // The Python objects may live until the interpreter's end, but not beyond; this reference must
  // not either.
  streams_->context_var = py::object();
}

Result<void> AppLog::install() {
  static PyMethodDef emit = {
      "emit", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(&Streams::py_emit)),
      METH_FASTCALL, nullptr};
  static PyMethodDef finish = {"finish", &Streams::py_finish, METH_O, nullptr};
  const auto module = run_embedded("saola_streams", kStreamsSource);
  if (!module) return Unexpected{module.error()};
  auto shared = std::make_unique<std::shared_ptr<Streams>>(streams_);
  const auto capsule = steal(PyCapsule_New(shared.get(), nullptr, [](PyObject* object) {
    delete static_cast<std::shared_ptr<Streams>*>(PyCapsule_GetPointer(object, nullptr));
  }));
  if (!capsule) return python_failure();
  static_cast<void>(shared.release());  // the capsule's now
  const auto py_emit = steal(PyCFunction_New(&emit, capsule.ptr()));
  const auto py_finish = steal(PyCFunction_New(&finish, capsule.ptr()));
  context_var_ = steal(PyObject_GetAttrString(module->ptr(), "REQUEST_ID"));
  if (!py_emit || !py_finish || !context_var_) return python_failure();
  streams_->context_var = context_var_;
  const auto done =
      steal(PyObject_CallMethod(module->ptr(), "install", "OO", py_emit.ptr(), py_finish.ptr()));
  if (!done) return python_failure();
  return {};
}

void AppLog::redirect(Logger log) {
  log_ = std::move(log);
  streams_->log = log_;
}

void AppLog::exception(std::string_view heading, std::string_view traceback,
                       std::string_view request_id) const {
  std::string text(heading);
  text += '\n';
  text += traceback;
  while (!text.empty() && text.back() == '\n') text.pop_back();
  log_.write_block(LogLevel::kError, text, request_id);
}

void AppLog::record(LogLevel level, std::string_view text) const {
  log_.write_block(level, text, streams_->request_id());
}

std::string_view& RequestIdScope::current() {
  thread_local std::string_view id;
  return id;
}

}  // namespace saola::backend
