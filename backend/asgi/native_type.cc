#include "backend/asgi/native_type.h"

namespace saola::backend::asgi {

bool register_as_coroutine(PyTypeObject& type) {
  const py::object abc = steal(PyImport_ImportModule("collections.abc"));
  if (!abc) return false;
  const py::object coroutine = steal(PyObject_GetAttrString(abc.ptr(), "Coroutine"));
  if (!coroutine) return false;
  const py::object done = steal(PyObject_CallMethod(coroutine.ptr(), "register", "O", &type));
  return static_cast<bool>(done);
}

void raise_thrown(PyObject* const* args, Py_ssize_t count) {
  if (count < 1 || count > 3) {
    PyErr_SetString(PyExc_TypeError, "throw expected 1 to 3 arguments");
    return;
  }
  PyObject* type = args[0];
  PyObject* value = count > 1 && args[1] != Py_None ? args[1] : nullptr;
  PyObject* traceback = count > 2 && args[2] != Py_None ? args[2] : nullptr;
  if (traceback != nullptr && !PyTraceBack_Check(traceback)) {
    PyErr_SetString(PyExc_TypeError, "throw() third argument must be a traceback object");
    return;
  }
  if (PyExceptionInstance_Check(type)) {
    if (value != nullptr) {
      PyErr_SetString(PyExc_TypeError, "instance exception may not have a separate value");
      return;
    }
    value = type;
    type = PyExceptionInstance_Class(type);
    const py::object own = steal(traceback == nullptr ? PyException_GetTraceback(value) : nullptr);
    if (own) traceback = own.ptr();
    PyErr_Restore(Py_NewRef(type), Py_NewRef(value), Py_XNewRef(traceback));
    return;
  }
  if (!PyExceptionClass_Check(type)) {
    PyErr_SetString(PyExc_TypeError,
                    "exceptions must be classes or instances deriving from BaseException");
    return;
  }
  PyErr_Restore(Py_NewRef(type), Py_XNewRef(value), Py_XNewRef(traceback));
}

}  // namespace saola::backend::asgi
