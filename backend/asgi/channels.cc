#include "backend/asgi/channels.h"

#include <cstddef>

#include "backend/asgi/names.h"

namespace saola::backend::asgi {
namespace {

struct Channel {
  PyObject_HEAD;
  vectorcallfunc call;
  Exchange* exchange;  // counted
};

PyTypeObject receive_type{};
PyTypeObject send_type{};
FreeList<Channel> free_channels;

Channel& self_of(PyObject* object) { return *reinterpret_cast<Channel*>(object); }

Step receive_step(Awaitable& awaitable, PyObject*& result) {
  return self_of(awaitable.owner).exchange->receive(result);
}

Step send_step(Awaitable& awaitable, PyObject*& result) {
  return self_of(awaitable.owner).exchange->send(awaitable.argument, awaitable.phase, result);
}

PyObject* call_receive(PyObject* object, PyObject* const*, size_t flags, PyObject* keywords) {
  if (PyVectorcall_NARGS(flags) != 0 || (keywords != nullptr && PyTuple_GET_SIZE(keywords) != 0)) {
    PyErr_SetString(PyExc_TypeError, "receive() takes no arguments");
    return nullptr;
  }
  return new_awaitable(receive_step, object, nullptr);
}

PyObject* call_send(PyObject* object, PyObject* const* args, size_t flags, PyObject* keywords) {
  const Py_ssize_t named = keywords == nullptr ? 0 : PyTuple_GET_SIZE(keywords);
  const bool fits = PyVectorcall_NARGS(flags) + named == 1 &&
                    (named == 0 || same_text(PyTuple_GET_ITEM(keywords, 0), names().message));
  if (!fits) {
    PyErr_SetString(PyExc_TypeError, "send() takes exactly one argument, the message");
    return nullptr;
  }
  return new_awaitable(send_step, object, args[0]);
}

void dealloc(PyObject* object) {
  Channel& self = self_of(object);
  self.exchange->drop_reference();
  if (!free_channels.put(&self)) PyObject_Free(object);
}

bool prepare(PyTypeObject& type, const char* name) {
  if (type.tp_name != nullptr) return true;
  begin_type(type, name, sizeof(Channel));
  type.tp_flags |= Py_TPFLAGS_HAVE_VECTORCALL;
  type.tp_vectorcall_offset = offsetof(Channel, call);
  type.tp_call = PyVectorcall_Call;
  type.tp_dealloc = dealloc;
  return PyType_Ready(&type) == 0;
}

PyObject* make(PyTypeObject& type, vectorcallfunc call, Exchange& exchange) {
  Channel* self = free_channels.take();
  if (self != nullptr) {
    PyObject_Init(reinterpret_cast<PyObject*>(self), &type);
  } else {
    self = PyObject_New(Channel, &type);
    if (self == nullptr) return nullptr;
  }
  self->call = call;
  self->exchange = &exchange;
  exchange.add_reference();
  return reinterpret_cast<PyObject*>(self);
}

}  // namespace

bool prepare_channel_types() {
  return prepare(receive_type, "saola.Receive") && prepare(send_type, "saola.Send");
}

PyObject* new_receive(Exchange& exchange) { return make(receive_type, call_receive, exchange); }
PyObject* new_send(Exchange& exchange) { return make(send_type, call_send, exchange); }

}  // namespace saola::backend::asgi
