#include "backend/asgi/app_call.h"

#include <cstddef>
#include <utility>

namespace saola::backend::asgi {
namespace {

PyTypeObject app_call_type{};
FreeList<AppCall> free_calls;
PyObject* cancelled_error = nullptr;  // asyncio.CancelledError, for ever

AppCall& self_of(PyObject* object) { return *reinterpret_cast<AppCall*>(object); }

void end(AppCall& self, AppEnd how) {
  Py_CLEAR(self.app);
  Py_CLEAR(self.scope);
  Py_CLEAR(self.receive);
  Py_CLEAR(self.send);
  if (AppCallOwner* owner = std::exchange(self.owner, nullptr)) owner->app_ended(how);
  // After the owner has looked at the exception: the frame may hold the last reference to much.
  Py_CLEAR(self.inner);
}

// True if the exception stays pending, for the task.
bool end_with_exception(AppCall& self) {
  const bool cancelled = PyErr_ExceptionMatches(cancelled_error) != 0;
  end(self, cancelled ? AppEnd::kCancelled : AppEnd::kRaised);
  return PyErr_Occurred() != nullptr;
}

// What `await` would iterate over (PEP 492); null with an exception set.
PyObject* awaited(PyObject* object) {
  if (PyCoro_CheckExact(object)) return Py_NewRef(object);
  const PyAsyncMethods* async = Py_TYPE(object)->tp_as_async;
  if (async == nullptr || async->am_await == nullptr) {
    PyErr_Format(PyExc_TypeError,
                 "the ASGI application returned %.100s, which cannot be awaited; is it a WSGI "
                 "application or a function without 'async'?",
                 Py_TYPE(object)->tp_name);
    return nullptr;
  }
  PyObject* iterator = async->am_await(object);
  if (iterator != nullptr && !PyIter_Check(iterator)) {
    PyErr_Format(PyExc_TypeError, "__await__() returned non-iterator of type '%.100s'",
                 Py_TYPE(iterator)->tp_name);
    Py_CLEAR(iterator);
  }
  return iterator;
}

// Calls the application. False with an exception set.
bool start(AppCall& self) {
  if (self.app == nullptr) {
    PyErr_SetString(PyExc_RuntimeError, "cannot reuse an application call that has ended");
    return false;
  }
  PyObject* args[] = {nullptr, self.scope, self.receive, self.send};
  const py::object result =
      steal(PyObject_Vectorcall(self.app, args + 1, 3 | PY_VECTORCALL_ARGUMENTS_OFFSET, nullptr));
  Py_CLEAR(self.app);
  Py_CLEAR(self.scope);
  Py_CLEAR(self.receive);
  Py_CLEAR(self.send);
  if (result) self.inner = awaited(result.ptr());
  return self.inner != nullptr;
}

PySendResult resume(PyObject* object, PyObject* value, PyObject** result) {
  AppCall& self = self_of(object);
  *result = nullptr;
  if (self.running) {
    PyErr_SetString(PyExc_ValueError, "coroutine already executing");
    return PYGEN_ERROR;
  }
  self.running = true;
  PySendResult outcome = PYGEN_ERROR;
  if (self.inner != nullptr || start(self)) outcome = PyIter_Send(self.inner, value, result);
  self.running = false;
  if (outcome == PYGEN_NEXT) return PYGEN_NEXT;
  if (outcome == PYGEN_RETURN) {
    end(self, AppEnd::kReturned);
    return PYGEN_RETURN;
  }
  if (end_with_exception(self)) return PYGEN_ERROR;
  *result = Py_NewRef(Py_None);
  return PYGEN_RETURN;
}

PyObject* as_iteration(PySendResult outcome, PyObject* result) {
  if (outcome != PYGEN_RETURN) return result;
  // What an application returns means nothing in ASGI, but a task keeps its result alive.
  Py_DECREF(result);
  PyErr_SetNone(PyExc_StopIteration);
  return nullptr;
}

PyObject* iternext(PyObject* object) {
  PyObject* result = nullptr;
  const PySendResult outcome = resume(object, Py_None, &result);
  return as_iteration(outcome, result);
}

PyObject* method_send(PyObject* object, PyObject* value) {
  PyObject* result = nullptr;
  const PySendResult outcome = resume(object, value, &result);
  return as_iteration(outcome, result);
}

// Throws into the application's coroutine; what it yields next, or null with its exception or
// StopIteration set.
PyObject* throw_into(PyObject* inner, PyObject* const* args, Py_ssize_t count) {
  const py::object thrower = steal(PyObject_GetAttrString(inner, "throw"));
  if (thrower) {
    return PyObject_Vectorcall(thrower.ptr(), args, static_cast<size_t>(count), nullptr);
  }
  if (!PyErr_ExceptionMatches(PyExc_AttributeError)) return nullptr;
  PyErr_Clear();
  raise_thrown(args, count);
  return nullptr;
}

PyObject* method_throw(PyObject* object, PyObject* const* args, Py_ssize_t count) {
  AppCall& self = self_of(object);
  PyObject* value = nullptr;
  if (self.inner == nullptr) {
    raise_thrown(args, count);
  } else {
    self.running = true;
    value = throw_into(self.inner, args, count);
    self.running = false;
  }
  if (value != nullptr) return value;
  if (PyErr_ExceptionMatches(PyExc_StopIteration)) {
    PyErr_Clear();
    end(self, AppEnd::kReturned);
    PyErr_SetNone(PyExc_StopIteration);
  } else if (!end_with_exception(self)) {
    PyErr_SetNone(PyExc_StopIteration);
  }
  return nullptr;
}

PyObject* method_close(PyObject* object, PyObject*) {
  AppCall& self = self_of(object);
  py::object closed = borrow(Py_None);
  if (self.inner != nullptr && PyObject_HasAttrString(self.inner, "close")) {
    closed = steal(PyObject_CallMethod(self.inner, "close", nullptr));
  }
  PyObject *type, *error, *traceback;
  PyErr_Fetch(&type, &error, &traceback);
  end(self, AppEnd::kAbandoned);
  PyErr_Restore(type, error, traceback);
  return closed.release().ptr();
}

void dealloc(PyObject* object) {
  AppCall& self = self_of(object);
  PyObject *type, *error, *traceback;
  PyErr_Fetch(&type, &error, &traceback);
  end(self, AppEnd::kAbandoned);
  PyErr_Restore(type, error, traceback);
  if (!free_calls.put(&self)) PyObject_Free(object);
}

// cr_frame, cr_code, cr_await, cr_running, __name__ ...: those of the application's coroutine, if
// it has one.
PyObject* get_inner(PyObject* object, void* name) {
  const AppCall& self = self_of(object);
  const char* attribute = static_cast<const char*>(name);
  if (self.inner == nullptr) {
    PyErr_SetString(PyExc_AttributeError, attribute);
    return nullptr;
  }
  return PyObject_GetAttrString(self.inner, attribute);
}

template <std::size_t kSize>
PyGetSetDef forwarded(const char (&name)[kSize]) {
  return {name, get_inner, nullptr, nullptr, const_cast<char*>(name)};
}

PyMethodDef methods[] = {
    {"send", method_send, METH_O, nullptr},
    {"throw", reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(method_throw)), METH_FASTCALL,
     nullptr},
    {"close", method_close, METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr}};

PyGetSetDef getters[] = {forwarded("cr_frame"),
                         forwarded("cr_code"),
                         forwarded("cr_await"),
                         forwarded("cr_running"),
                         forwarded("__name__"),
                         forwarded("__qualname__"),
                         {nullptr, nullptr, nullptr, nullptr, nullptr}};

PyAsyncMethods async_methods = {PyObject_SelfIter, nullptr, nullptr, resume};

}  // namespace

bool prepare_app_call_type() {
  if (app_call_type.tp_name != nullptr) return true;
  const py::object asyncio = steal(PyImport_ImportModule("asyncio"));
  if (!asyncio) return false;
  cancelled_error = PyObject_GetAttrString(asyncio.ptr(), "CancelledError");
  if (cancelled_error == nullptr) return false;
  begin_type(app_call_type, "saola.AppCall", sizeof(AppCall));
  app_call_type.tp_dealloc = dealloc;
  app_call_type.tp_as_async = &async_methods;
  app_call_type.tp_iter = PyObject_SelfIter;
  app_call_type.tp_iternext = iternext;
  app_call_type.tp_methods = methods;
  app_call_type.tp_getset = getters;
  return PyType_Ready(&app_call_type) == 0 && register_as_coroutine(app_call_type);
}

PyObject* new_app_call(AppCallOwner& owner, PyObject* app, py::object scope, py::object receive,
                       py::object send) {
  AppCall* self = free_calls.take();
  if (self != nullptr) {
    PyObject_Init(reinterpret_cast<PyObject*>(self), &app_call_type);
  } else {
    self = PyObject_New(AppCall, &app_call_type);
    if (self == nullptr) return nullptr;
  }
  self->owner = &owner;
  self->app = Py_NewRef(app);
  self->scope = scope.release().ptr();
  self->receive = receive.release().ptr();
  self->send = send.release().ptr();
  self->inner = nullptr;
  self->running = false;
  return reinterpret_cast<PyObject*>(self);
}

}  // namespace saola::backend::asgi
