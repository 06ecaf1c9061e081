// Python objects in C++: owning handles, the GIL, and the one border where exceptions end.
//
// pybind11's py::object owns a reference; nothing here keeps a bare PyObject* over a call. pybind11
// functions that throw are used at boot only and inside py_border(), which turns whatever is thrown
// into an Error; the hot path uses the C API, whose failures are null plus a pending exception.
//
// Unless a comment says otherwise the caller holds the GIL.
#pragma once

#include <pybind11/pytypes.h>

#include <string>
#include <string_view>
#include <utility>

#include "common/core/result.h"

namespace saola::backend {

namespace py = pybind11;

// A new reference becomes owned; null (an exception is pending) becomes an empty object.
inline py::object steal(PyObject* object) { return py::reinterpret_steal<py::object>(object); }
inline py::object borrow(PyObject* object) { return py::reinterpret_borrow<py::object>(object); }

// Lets go of the GIL for a block that waits. The thread must hold it.
class GilRelease {
 public:
  GilRelease() : state_(PyEval_SaveThread()) {}
  ~GilRelease() { PyEval_RestoreThread(state_); }
  GilRelease(const GilRelease&) = delete;
  GilRelease& operator=(const GilRelease&) = delete;

 private:
  PyThreadState* state_;
};

// Takes the GIL in a thread that Python may not know yet.
class GilEnsure {
 public:
  GilEnsure() : state_(PyGILState_Ensure()) {}
  ~GilEnsure() { PyGILState_Release(state_); }
  GilEnsure(const GilEnsure&) = delete;
  GilEnsure& operator=(const GilEnsure&) = delete;

 private:
  PyGILState_STATE state_;
};

// A pending exception, set aside; nothing is pending while it is held. For code that must call
// Python (close(), logging) between a failure and its report.
class PendingException {
 public:
  PendingException() { PyErr_Fetch(&type_, &value_, &traceback_); }
  ~PendingException();
  PendingException(const PendingException&) = delete;
  PendingException& operator=(const PendingException&) = delete;

  bool present() const { return type_ != nullptr; }
  bool matches(PyObject* exception_class) const {
    return present() && PyErr_GivenExceptionMatches(type_, exception_class) != 0;
  }
  // Makes it pending again; this object is empty afterwards.
  void restore();
  // The whole traceback with chained exceptions, as `traceback.format_exception` prints it, ending
  // in "\n". Never fails: what cannot be formatted is named by its type.
  std::string format();

 private:
  PyObject* type_ = nullptr;
  PyObject* value_ = nullptr;
  PyObject* traceback_ = nullptr;
};

// Takes the pending exception away and gives its traceback as text.
std::string take_traceback();

// The pending exception as an Error (message is the traceback); clears it.
inline Unexpected<Error> python_failure() { return fail(take_traceback()); }

// What a C API call returned: an owned object, or the pending exception as an Error.
inline Result<py::object> checked(PyObject* new_reference) {
  if (new_reference == nullptr) return python_failure();
  return steal(new_reference);
}

// Runs `body`, which returns a Result and may throw what pybind11 throws. Who uses it includes
// <pybind11/pybind11.h>, which is left out here because it doubles the time to compile.
template <class Body>
auto py_border(Body&& body) -> decltype(body()) {
  try {
    return body();
  } catch (py::error_already_set& error) {
    error.restore();
    return python_failure();
  } catch (const std::exception& error) {
    return fail(error.what());
  }
}

// UTF-8 text of a str with what cannot be encoded (lone surrogates) as backslash escapes;
// str(object) of anything else. Never fails.
std::string to_text(PyObject* object);

// Executes Python source that is part of the binary (backend/python/*.py, made into strings by
// CMake) as a module called `name` and returns the module. It is not put into sys.modules.
Result<py::object> run_embedded(const char* name, std::string_view source);

}  // namespace saola::backend
