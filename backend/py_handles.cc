#include "backend/py_handles.h"

namespace saola::backend {
namespace {

// repr-less last resort when formatting itself raises.
std::string type_name(PyObject* type) {
  std::string text = type != nullptr && PyType_Check(type)
                         ? reinterpret_cast<PyTypeObject*>(type)->tp_name
                         : "unknown exception";
  return text + " (its traceback could not be formatted)\n";
}

}  // namespace

PendingException::~PendingException() {
  Py_XDECREF(type_);
  Py_XDECREF(value_);
  Py_XDECREF(traceback_);
}

void PendingException::restore() {
  PyErr_Restore(std::exchange(type_, nullptr), std::exchange(value_, nullptr),
                std::exchange(traceback_, nullptr));
}

std::string PendingException::format() {
  if (!present()) return {};
  PyErr_NormalizeException(&type_, &value_, &traceback_);
  if (traceback_ != nullptr) PyException_SetTraceback(value_, traceback_);
  std::string text;
  const auto module = steal(PyImport_ImportModule("traceback"));
  const auto lines =
      module ? steal(PyObject_CallMethod(module.ptr(), "format_exception", "OOO", type_, value_,
                                         traceback_ != nullptr ? traceback_ : Py_None))
             : py::object();
  const auto empty = steal(PyUnicode_FromString(""));
  const auto joined =
      lines && empty ? steal(PyUnicode_Join(empty.ptr(), lines.ptr())) : py::object();
  if (joined) text = to_text(joined.ptr());
  PyErr_Clear();
  return text.empty() ? type_name(type_) : text;
}

std::string take_traceback() {
  PendingException pending;
  return pending.format();
}

std::string to_text(PyObject* object) {
  const auto text = PyUnicode_Check(object) ? borrow(object) : steal(PyObject_Str(object));
  const auto bytes = text
                         ? steal(PyUnicode_AsEncodedString(text.ptr(), "utf-8", "backslashreplace"))
                         : py::object();
  if (!bytes) {
    PyErr_Clear();
    return {};
  }
  return {PyBytes_AS_STRING(bytes.ptr()), static_cast<std::size_t>(PyBytes_GET_SIZE(bytes.ptr()))};
}

Result<py::object> run_embedded(const char* name, std::string_view source) {
  const std::string text(source);
  const auto code = steal(Py_CompileString(text.c_str(), name, Py_file_input));
  auto module = code ? steal(PyModule_New(name)) : py::object();
  if (!module) return python_failure();
  PyObject* names = PyModule_GetDict(module.ptr());
  if (PyDict_SetItemString(names, "__builtins__", PyEval_GetBuiltins()) != 0) {
    return python_failure();
  }
  if (!steal(PyEval_EvalCode(code.ptr(), names, names))) return python_failure();
  return module;
}

}  // namespace saola::backend
