// AppLog: sys.stdout and sys.stderr of the application as records of the error log, each with the
// id of the request on whose behalf it was written, where that is known.
//
// Both are text streams (io.TextIOBase, with a `buffer`; python/streams.py). What ends a line
// becomes one record: level info for stdout, error for stderr; a write of several lines (a logged
// traceback) is one record of several lines. An unfinished line waits, per thread, for its end or
// for flush(). Descriptors 1 and 2 stay as they were, for C code.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "backend/py_handles.h"
#include "common/core/log.h"

namespace saola::backend {

class AppLog {
 public:
  // The sink of `log` outlives the interpreter: the streams stay in place until its end. Records
  // are not filtered by level: what an application prints, its owner wants to see.
  explicit AppLog(Logger log);
  AppLog(const AppLog&) = delete;
  AppLog& operator=(const AppLog&) = delete;
  ~AppLog();  // GIL held

  // Replaces sys.stdout and sys.stderr. GIL held.
  Result<void> install();

  // What is written from now on goes there: a forked worker's own log. GIL held.
  void redirect(Logger log);

  // The contextvars.ContextVar that holds the request id (str) of an ASGI task. It is set in the
  // task's context; sub-tasks and threads that copy the context inherit it. Null before install().
  PyObject* context_var() const { return context_var_.ptr(); }

  // A traceback of the application, for one request: one record of several lines, level error.
  void exception(std::string_view heading, std::string_view traceback,
                 std::string_view request_id) const;

  // One record, of several lines if the text has them, with the id of the request at hand. GIL
  // held; after install().
  void record(LogLevel level, std::string_view text) const;

  const Logger& logger() const { return log_; }

 private:
  struct Streams;  // shared with the Python objects, which may outlive this

  Logger log_;
  std::shared_ptr<Streams> streams_;
  py::object context_var_;
};

// While it lives, what this thread writes belongs to the request `id` (WSGI). The text outlives it.
// No GIL needed.
class RequestIdScope {
 public:
  explicit RequestIdScope(std::string_view id) : previous_(current()) { current() = id; }
  ~RequestIdScope() { current() = previous_; }
  RequestIdScope(const RequestIdScope&) = delete;
  RequestIdScope& operator=(const RequestIdScope&) = delete;

  static std::string_view& current();

 private:
  std::string_view previous_;
};

}  // namespace saola::backend
