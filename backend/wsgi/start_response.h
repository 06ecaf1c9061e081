// The callables that an application gets: start_response and the write() that it returns (PEP 3333,
// "The start_response() Callable"). They only forward to their request's owner, and refuse when
// that is over.
#pragma once

#include "backend/py_handles.h"

namespace saola::backend::wsgi {

// One request in the middle of its answer. GIL held in both; a false result has an exception
// pending.
class AnswerOwner {
 public:
  // `exc_info` is null or a (type, value, traceback) tuple.
  virtual bool start_response(PyObject* status, PyObject* headers, PyObject* exc_info) = 0;
  virtual bool write(PyObject* data) = 0;

 protected:
  ~AnswerOwner() = default;
};

// Makes the Python types; once per interpreter.
Result<void> init_start_response_types();

// The pair of callables of one owner after another. An application may keep them beyond its
// request: then detach() leaves those behind, and the next request gets new ones.
class Callables {
 public:
  // False: an exception is pending.
  bool attach(AnswerOwner& owner);
  void detach();
  PyObject* start_response() const { return start_response_.ptr(); }

 private:
  py::object start_response_;
};

}  // namespace saola::backend::wsgi
