#include "backend/asgi/py_loop.h"

#include <pybind11/pybind11.h>

#include <utility>

namespace saola::backend::asgi {
namespace {

double seconds(std::chrono::milliseconds duration) {
  return std::chrono::duration<double>(duration).count();
}

// The module, or an empty object if there is none.
py::object import_uvloop(config::AsyncLoop kind) {
  if (kind == config::AsyncLoop::kAsyncio) return {};
  try {
    return py::module_::import("uvloop");
  } catch (py::error_already_set& error) {
    if (kind == config::AsyncLoop::kUvloop || !error.matches(PyExc_ImportError)) throw;
    return {};
  }
}

}  // namespace

Result<std::unique_ptr<PyLoop>> PyLoop::open(config::AsyncLoop kind) {
  return py_border([&]() -> Result<std::unique_ptr<PyLoop>> {
    std::unique_ptr<PyLoop> self(new PyLoop);
    const py::module_ asyncio = py::module_::import("asyncio");
    py::object maker = import_uvloop(kind);
    self->uvloop_ = static_cast<bool>(maker);
    if (!maker) maker = asyncio;
    self->loop_ = maker.attr("new_event_loop")();
    asyncio.attr("set_event_loop")(self->loop_);
    self->create_future_ = self->loop_.attr("create_future");
    self->call_soon_ = self->loop_.attr("call_soon");
    self->create_task_ = self->loop_.attr("create_task");
    self->get_task_factory_ = self->loop_.attr("get_task_factory");
    self->task_type_ = asyncio.attr("Task");
    py::dict arguments;
    arguments["loop"] = self->loop_;
    self->task_arguments_ = std::move(arguments);
    return self;
  });
}

PyLoop::~PyLoop() {
  if (closed_ || !loop_) return;
  const PendingException pending;
  if (!steal(PyObject_CallMethod(loop_.ptr(), "close", nullptr))) {
    PyErr_WriteUnraisable(loop_.ptr());
  }
}

bool PyLoop::look_for_task_factory() {
  const py::object factory = steal(PyObject_CallNoArgs(get_task_factory_.ptr()));
  has_factory_ = factory && !factory.is_none();
  return static_cast<bool>(factory);
}

PyObject* PyLoop::create_task(PyObject* coroutine, PyObject* name) {
  static PyObject* const name_key = PyUnicode_InternFromString("name");
  if (has_factory_) {
    const py::object keywords = steal(PyTuple_Pack(1, name_key));
    if (!keywords) return nullptr;
    PyObject* const arguments[] = {coroutine, name};
    return PyObject_Vectorcall(create_task_.ptr(), arguments, 1, keywords.ptr());
  }
  // What loop.create_task() comes to without a factory, less its Python code.
  if (PyDict_SetItem(task_arguments_.ptr(), name_key, name) != 0) return nullptr;
  const py::object positional = steal(PyTuple_Pack(1, coroutine));
  if (!positional) return nullptr;
  return PyObject_Call(task_type_.ptr(), positional.ptr(), task_arguments_.ptr());
}

bool PyLoop::call_soon(PyObject* callback) {
  return static_cast<bool>(steal(PyObject_CallOneArg(call_soon_.ptr(), callback)));
}

Result<void> PyLoop::call_later(std::chrono::milliseconds delay, PyObject* callback) {
  const auto handle =
      checked(PyObject_CallMethod(loop_.ptr(), "call_later", "dO", seconds(delay), callback));
  if (!handle) return fail(handle.error().message);
  return {};
}

Result<void> PyLoop::add_reader(int fd, PyObject* callback) {
  const auto done = checked(PyObject_CallMethod(loop_.ptr(), "add_reader", "iO", fd, callback));
  if (!done) return fail(done.error().message);
  return {};
}

void PyLoop::remove_reader(int fd) {
  if (closed_) return;
  if (!steal(PyObject_CallMethod(loop_.ptr(), "remove_reader", "i", fd))) {
    PyErr_WriteUnraisable(loop_.ptr());
  }
}

Result<void> PyLoop::run() {
  return py_border([&]() -> Result<void> {
    loop_.attr("run_forever")();
    return {};
  });
}

void PyLoop::stop() {
  if (!steal(PyObject_CallMethod(loop_.ptr(), "stop", nullptr))) PyErr_WriteUnraisable(loop_.ptr());
}

Result<void> PyLoop::run_until_complete(PyObject* awaitable) {
  return py_border([&]() -> Result<void> {
    loop_.attr("run_until_complete")(borrow(awaitable));
    return {};
  });
}

Result<void> PyLoop::cancel(const std::vector<py::object>& tasks, std::chrono::milliseconds limit) {
  if (tasks.empty()) return {};
  return py_border([&]() -> Result<void> {
    py::list list;
    for (const py::object& task : tasks) {
      task.attr("cancel")();
      list.append(task);
    }
    const py::object waiting =
        py::module_::import("asyncio").attr("wait")(list, py::arg("timeout") = seconds(limit));
    loop_.attr("run_until_complete")(waiting);
    return {};
  });
}

Result<void> PyLoop::close(std::chrono::milliseconds limit) {
  if (closed_) return {};
  const Result<void> ended = py_border([&]() -> Result<void> {
    std::vector<py::object> tasks;
    for (const py::handle task : py::module_::import("asyncio").attr("all_tasks")(loop_)) {
      tasks.push_back(py::reinterpret_borrow<py::object>(task));
    }
    if (Result<void> cancelled = cancel(tasks, limit); !cancelled) return cancelled;
    tasks.clear();
    loop_.attr("run_until_complete")(loop_.attr("shutdown_asyncgens")());
    // Waits for the executor's threads, as the end of the interpreter would.
    loop_.attr("run_until_complete")(loop_.attr("shutdown_default_executor")());
    return {};
  });
  closed_ = true;
  const Result<void> closed = py_border([&]() -> Result<void> {
    loop_.attr("close")();
    py::module_::import("asyncio").attr("set_event_loop")(py::none());
    return {};
  });
  return ended ? closed : ended;
}

void wake(std::vector<py::object>& futures) {
  static PyObject* const done_name = PyUnicode_InternFromString("done");
  static PyObject* const set_result_name = PyUnicode_InternFromString("set_result");
  for (const py::object& future : futures) {
    const py::object done = steal(PyObject_CallMethodNoArgs(future.ptr(), done_name));
    if (done && done.ptr() == Py_True) continue;
    if (!done || !steal(PyObject_CallMethodOneArg(future.ptr(), set_result_name, Py_None))) {
      PyErr_WriteUnraisable(future.ptr());
    }
  }
  futures.clear();
}

}  // namespace saola::backend::asgi
