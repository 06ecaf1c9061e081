// What the native Python types of this folder share. The GIL is held in all of it.
#pragma once

#include <cstddef>
#include <string_view>

#include "backend/py_handles.h"

namespace saola::backend::asgi {

// A str that Python compares by address: dictionary keys and message types. Empty with an exception
// set.
inline py::object interned(const char* text) { return steal(PyUnicode_InternFromString(text)); }

// The bytes of a bytes object; valid as long as it lives.
inline std::string_view bytes_view(PyObject* bytes) {
  return {PyBytes_AS_STRING(bytes), static_cast<std::size_t>(PyBytes_GET_SIZE(bytes))};
}

inline PyObject* new_bytes(std::string_view text) {
  return PyBytes_FromStringAndSize(text.data(), static_cast<Py_ssize_t>(text.size()));
}

// Free lists make leaks and uses after free invisible to AddressSanitizer, so it gets none.
#if defined(__SANITIZE_ADDRESS__)
inline constexpr std::size_t kFreeListSize = 0;
#else
inline constexpr std::size_t kFreeListSize = 512;
#endif

// Storage of dead objects of one type, kept for the next ones. Guarded by the GIL. Never destroyed:
// Python may free an object of ours as late as in its own finalization.
template <class T>
class FreeList {
 public:
  T* take() { return count_ > 0 ? items_[--count_] : nullptr; }
  // False if it is full: the caller frees the object.
  bool put(T* object) {
    if (count_ >= kFreeListSize) return false;
    items_[count_++] = object;
    return true;
  }

 private:
  std::size_t count_ = 0;
  T* items_[kFreeListSize == 0 ? 1 : kFreeListSize];
};

// A callable for Python that runs a member function without arguments: for loop callbacks. The
// object must outlive every call: remove readers and close the loop first. Null with an exception
// set.
template <auto Method, class T>
PyObject* make_callback(T* object) {
  static PyMethodDef definition = {
      "callback",
      [](PyObject* capsule, PyObject*) -> PyObject* {
        (static_cast<T*>(PyCapsule_GetPointer(capsule, nullptr))->*Method)();
        Py_RETURN_NONE;
      },
      METH_NOARGS, nullptr};
  const py::object capsule = steal(PyCapsule_New(object, nullptr, nullptr));
  return capsule ? PyCFunction_New(&definition, capsule.ptr()) : nullptr;
}

// Fills in what all our types have in common. The rest, then PyType_Ready(), is the caller's.
inline void begin_type(PyTypeObject& type, const char* name, std::size_t size) {
  Py_SET_REFCNT(&type, 1);
  type.tp_name = name;
  type.tp_basicsize = static_cast<Py_ssize_t>(size);
  type.tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION;
}

// Registers `type` with collections.abc.Coroutine, so that asyncio makes tasks of its objects.
// False with an exception set.
bool register_as_coroutine(PyTypeObject& type);

// Raises what was given to a coroutine's throw(type[, value[, traceback]]) (PEP 342).
void raise_thrown(PyObject* const* args, Py_ssize_t count);

}  // namespace saola::backend::asgi
