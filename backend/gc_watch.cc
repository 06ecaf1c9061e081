#include "backend/gc_watch.h"

#include <Python.h>

#include <chrono>

#include "backend/py_handles.h"

namespace saola::backend {
namespace {

using Clock = std::chrono::steady_clock;

// Collections do not nest, and run with the GIL held.
struct Watch {
  ipc::WorkerSlot* slot = nullptr;
  Clock::time_point began;
};
Watch& watch() {
  static Watch watch;
  return watch;
}

// gc.callbacks: ("start" | "stop", info).
PyObject* on_collection(PyObject*, PyObject* arguments) {
  const char* phase = nullptr;
  PyObject* info = nullptr;
  if (PyArg_ParseTuple(arguments, "sO", &phase, &info) == 0) return nullptr;
  if (phase[2] == 'a') {  // st-a-rt
    watch().began = Clock::now();
  } else {
    const std::chrono::nanoseconds took = Clock::now() - watch().began;
    watch().slot->gc_ns.fetch_add(static_cast<std::uint64_t>(took.count()),
                                  std::memory_order_relaxed);
    watch().slot->gc_collections.fetch_add(1, std::memory_order_relaxed);
  }
  Py_RETURN_NONE;
}

PyMethodDef kCallback = {"saola_gc_watch", on_collection, METH_VARARGS, nullptr};

}  // namespace

Result<void> watch_garbage_collector(ipc::WorkerSlot& slot) {
  watch().slot = &slot;
  const auto module = steal(PyImport_ImportModule("gc"));
  const auto callbacks = module ? steal(PyObject_GetAttrString(module.ptr(), "callbacks")) : module;
  const auto callback = callbacks ? steal(PyCFunction_New(&kCallback, nullptr)) : callbacks;
  if (!callback || PyList_Append(callbacks.ptr(), callback.ptr()) != 0) {
    PyErr_Clear();
    return fail("the garbage collector cannot be watched");
  }
  return {};
}

}  // namespace saola::backend
