#include "backend/wsgi/start_response.h"

#include <structmember.h>

#include <array>

namespace saola::backend::wsgi {
namespace {

struct CallableObject {
  PyObject_HEAD vectorcallfunc vectorcall;
  AnswerOwner* owner;  // null: the request is over
  PyObject* write;     // of start_response: its write callable, made when first asked for
};

PyTypeObject* start_response_type = nullptr;
PyTypeObject* write_type = nullptr;

CallableObject& fields(PyObject* object) { return *reinterpret_cast<CallableObject*>(object); }

AnswerOwner* owner_of(PyObject* self) {
  AnswerOwner* owner = fields(self).owner;
  if (owner == nullptr) {
    PyErr_SetString(PyExc_RuntimeError, "the request has ended; its answer cannot be changed");
  }
  return owner;
}

PyObject* call_write(PyObject* self, PyObject* const* args, size_t flagged, PyObject* names) {
  if (PyVectorcall_NARGS(flagged) != 1 || names != nullptr) {
    PyErr_SetString(PyExc_TypeError, "write(data) takes one argument");
    return nullptr;
  }
  AnswerOwner* owner = owner_of(self);
  if (owner == nullptr || !owner->write(args[0])) return nullptr;
  Py_RETURN_NONE;
}

PyObject* new_callable(PyTypeObject* type, vectorcallfunc call, AnswerOwner* owner) {
  PyObject* object = type->tp_alloc(type, 0);
  if (object == nullptr) return nullptr;
  fields(object).vectorcall = call;
  fields(object).owner = owner;
  return object;
}

PyObject* write_of(PyObject* self) {
  auto& own = fields(self);
  if (own.write == nullptr) own.write = new_callable(write_type, &call_write, own.owner);
  Py_XINCREF(own.write);
  return own.write;
}

using Arguments = std::array<PyObject*, 3>;  // status, headers, exc_info

bool place_keywords(PyObject* const* values, PyObject* names, Arguments& arguments) {
  static constexpr std::array<const char*, 3> kNames = {"status", "response_headers", "exc_info"};
  for (Py_ssize_t i = 0; names != nullptr && i < PyTuple_GET_SIZE(names); ++i) {
    PyObject* name = PyTuple_GET_ITEM(names, i);
    std::size_t at = 0;
    while (at < kNames.size() && PyUnicode_CompareWithASCIIString(name, kNames[at]) != 0) ++at;
    if (at == kNames.size() && PyUnicode_CompareWithASCIIString(name, "headers") == 0) at = 1;
    if (at == kNames.size() || arguments[at] != nullptr) {
      PyErr_Format(PyExc_TypeError, "start_response() got an unexpected argument %R", name);
      return false;
    }
    arguments[at] = values[i];
  }
  return true;
}

PyObject* call_start_response(PyObject* self, PyObject* const* args, size_t flagged,
                              PyObject* names) {
  const Py_ssize_t count = PyVectorcall_NARGS(flagged);
  Arguments arguments{};
  for (Py_ssize_t i = 0; i < count && i < 3; ++i) arguments[static_cast<std::size_t>(i)] = args[i];
  if (!place_keywords(args + count, names, arguments)) return nullptr;
  const auto [status, headers, exc_info] = arguments;
  if (count > 3 || status == nullptr || headers == nullptr) {
    PyErr_SetString(PyExc_TypeError,
                    "start_response(status, response_headers, exc_info=None) expected");
    return nullptr;
  }
  const bool failed = exc_info != nullptr && exc_info != Py_None;
  if (failed && (PyTuple_Check(exc_info) == 0 || PyTuple_GET_SIZE(exc_info) != 3)) {
    PyErr_SetString(PyExc_TypeError, "exc_info must be a tuple as sys.exc_info() gives it");
    return nullptr;
  }
  AnswerOwner* owner = owner_of(self);
  if (owner == nullptr || !owner->start_response(status, headers, failed ? exc_info : nullptr)) {
    return nullptr;
  }
  return write_of(self);
}

void dealloc(PyObject* self) {
  Py_XDECREF(fields(self).write);
  PyTypeObject* type = Py_TYPE(self);
  type->tp_free(self);
  Py_DECREF(type);
}

PyTypeObject* make_type(const char* name) {
  static PyMemberDef members[] = {
      {"__vectorcalloffset__", T_PYSSIZET, offsetof(CallableObject, vectorcall), READONLY, nullptr},
      {nullptr, 0, 0, 0, nullptr}};
  PyType_Slot slots[] = {{Py_tp_dealloc, reinterpret_cast<void*>(&dealloc)},
                         {Py_tp_call, reinterpret_cast<void*>(&PyVectorcall_Call)},
                         {Py_tp_members, members},
                         {0, nullptr}};
  PyType_Spec spec = {
      name, sizeof(CallableObject), 0,
      Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots};
  return reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&spec));
}

}  // namespace

Result<void> init_start_response_types() {
  start_response_type = make_type("saola.StartResponse");
  write_type = make_type("saola.Write");
  if (start_response_type == nullptr || write_type == nullptr) return python_failure();
  return {};
}

bool Callables::attach(AnswerOwner& owner) {
  if (!start_response_) {
    start_response_ = steal(new_callable(start_response_type, &call_start_response, &owner));
    return static_cast<bool>(start_response_);
  }
  auto& own = fields(start_response_.ptr());
  own.owner = &owner;
  if (own.write != nullptr) fields(own.write).owner = &owner;
  return true;
}

void Callables::detach() {
  if (!start_response_) return;
  auto& own = fields(start_response_.ptr());
  own.owner = nullptr;
  if (own.write != nullptr) {
    fields(own.write).owner = nullptr;
    if (Py_REFCNT(own.write) > 1) Py_CLEAR(own.write);
  }
  if (Py_REFCNT(start_response_.ptr()) > 1) start_response_ = py::object();
}

}  // namespace saola::backend::wsgi
