#include "backend/asgi/awaitable.h"

namespace saola::backend::asgi {
namespace {

PyTypeObject awaitable_type{};
FreeList<Awaitable> free_awaitables;

Awaitable& self_of(PyObject* object) { return *reinterpret_cast<Awaitable*>(object); }

void finish(Awaitable& self) {
  self.step = nullptr;
  Py_CLEAR(self.waiting);
  Py_CLEAR(self.owner);
  Py_CLEAR(self.argument);
}

// Starts to wait for `future`, whose reference it takes. False with an exception set.
bool wait_for(Awaitable& self, PyObject* future) {
  const py::object owned = steal(future);
  const PyAsyncMethods* async = Py_TYPE(future)->tp_as_async;
  if (async == nullptr || async->am_await == nullptr) {
    PyErr_Format(PyExc_TypeError, "the event loop's futures cannot be awaited (%.100s)",
                 Py_TYPE(future)->tp_name);
    return false;
  }
  self.waiting = async->am_await(future);
  return self.waiting != nullptr;
}

PySendResult resume(PyObject* object, PyObject* value, PyObject** result) {
  Awaitable& self = self_of(object);
  *result = nullptr;
  if (self.step == nullptr) {
    PyErr_SetString(PyExc_RuntimeError, "cannot reuse an awaitable that was already awaited");
    return PYGEN_ERROR;
  }
  for (;;) {
    if (self.waiting != nullptr) {
      const PySendResult outcome = PyIter_Send(self.waiting, value, result);
      if (outcome == PYGEN_NEXT) return PYGEN_NEXT;
      Py_CLEAR(self.waiting);
      if (outcome == PYGEN_ERROR) {
        finish(self);
        return PYGEN_ERROR;
      }
      Py_CLEAR(*result);
    }
    switch (self.step(self, *result)) {
      case Step::kDone:
        finish(self);
        return PYGEN_RETURN;
      case Step::kError:
        finish(self);
        return PYGEN_ERROR;
      case Step::kWait: {
        PyObject* future = *result;
        *result = nullptr;
        value = Py_None;
        if (wait_for(self, future)) break;
        finish(self);
        return PYGEN_ERROR;
      }
    }
  }
}

// The generator protocol's view of resume(): the value of a finished one travels in StopIteration.
PyObject* as_iteration(PySendResult outcome, PyObject* result) {
  if (outcome != PYGEN_RETURN) return result;
  if (result == Py_None) {
    PyErr_SetNone(PyExc_StopIteration);
  } else {
    // Not PyErr_SetObject: it would spread a tuple or an exception over the constructor's
    // arguments.
    const py::object stop = steal(PyObject_CallOneArg(PyExc_StopIteration, result));
    if (stop) PyErr_SetObject(PyExc_StopIteration, stop.ptr());
  }
  Py_DECREF(result);
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

PyObject* method_throw(PyObject* object, PyObject* const* args, Py_ssize_t count) {
  Awaitable& self = self_of(object);
  if (self.waiting != nullptr) {
    // The future's iterator never swallows what is thrown into it.
    const py::object thrower = steal(PyObject_GetAttrString(self.waiting, "throw"));
    PyObject* value =
        thrower ? PyObject_Vectorcall(thrower.ptr(), args, static_cast<size_t>(count), nullptr)
                : nullptr;
    if (value != nullptr) return value;
  } else {
    raise_thrown(args, count);
  }
  finish(self);
  return nullptr;
}

PyObject* method_close(PyObject* object, PyObject*) {
  finish(self_of(object));
  Py_RETURN_NONE;
}

void dealloc(PyObject* object) {
  Awaitable& self = self_of(object);
  finish(self);
  if (!free_awaitables.put(&self)) PyObject_Free(object);
}

PyMethodDef methods[] = {
    {"send", method_send, METH_O, nullptr},
    {"throw", reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(method_throw)), METH_FASTCALL,
     nullptr},
    {"close", method_close, METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr}};

PyAsyncMethods async_methods = {PyObject_SelfIter, nullptr, nullptr, resume};

}  // namespace

bool prepare_awaitable_type() {
  if (awaitable_type.tp_name != nullptr) return true;
  begin_type(awaitable_type, "saola.Awaitable", sizeof(Awaitable));
  awaitable_type.tp_dealloc = dealloc;
  awaitable_type.tp_as_async = &async_methods;
  awaitable_type.tp_iter = PyObject_SelfIter;
  awaitable_type.tp_iternext = iternext;
  awaitable_type.tp_methods = methods;
  return PyType_Ready(&awaitable_type) == 0 && register_as_coroutine(awaitable_type);
}

PyObject* new_awaitable(StepFunction step, PyObject* owner, PyObject* argument) {
  Awaitable* self = free_awaitables.take();
  if (self != nullptr) {
    PyObject_Init(reinterpret_cast<PyObject*>(self), &awaitable_type);
  } else {
    self = PyObject_New(Awaitable, &awaitable_type);
    if (self == nullptr) return nullptr;
  }
  self->step = step;
  self->owner = Py_NewRef(owner);
  self->argument = Py_XNewRef(argument);
  self->waiting = nullptr;
  self->phase = 0;
  return reinterpret_cast<PyObject*>(self);
}

}  // namespace saola::backend::asgi
