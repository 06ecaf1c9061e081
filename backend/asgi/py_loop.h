// PyLoop: asyncio's event loop (asyncio's own or uvloop's) as the ASGI host uses it.
//
// Used by one thread, the one that runs the loop, with the GIL held. Functions on the hot path
// return null or false with a Python exception set; those of boot and shutdown return a Result.
#pragma once

#include <chrono>
#include <memory>
#include <vector>

#include "backend/asgi/native_type.h"
#include "common/config/config.h"
#include "common/core/result.h"

namespace saola::backend::asgi {

class PyLoop {
 public:
  // Makes the loop and sets it as the thread's. kAuto: uvloop if it can be imported. kUvloop: an
  // error if it cannot.
  static Result<std::unique_ptr<PyLoop>> open(config::AsyncLoop kind);
  PyLoop(const PyLoop&) = delete;
  PyLoop& operator=(const PyLoop&) = delete;
  // Closes the loop if close() was not called.
  ~PyLoop();

  bool is_uvloop() const { return uvloop_; }
  PyObject* get() const { return loop_.ptr(); }

  // New references.
  PyObject* create_future() { return PyObject_CallNoArgs(create_future_.ptr()); }
  // A task that runs `coroutine` in a copy of the current context. `name` is a str. Follows the
  // loop's task factory as it was at the last look_for_task_factory().
  PyObject* create_task(PyObject* coroutine, PyObject* name);
  bool look_for_task_factory();

  bool call_soon(PyObject* callback);
  Result<void> call_later(std::chrono::milliseconds delay, PyObject* callback);
  Result<void> add_reader(int fd, PyObject* callback);
  void remove_reader(int fd);

  // Runs until stop(). An error is what a callback raised through the loop (SystemExit,
  // KeyboardInterrupt).
  Result<void> run();
  void stop();
  Result<void> run_until_complete(PyObject* awaitable);

  // Cancels `tasks` and gives them `limit` to end; their exceptions are theirs.
  Result<void> cancel(const std::vector<py::object>& tasks, std::chrono::milliseconds limit);
  // The end, as asyncio.run() does it: cancels what is left, ends asynchronous generators and the
  // default executor, closes.
  Result<void> close(std::chrono::milliseconds limit);

 private:
  PyLoop() = default;

  py::object loop_;
  py::object create_future_, call_soon_, get_task_factory_, create_task_;  // bound methods
  py::object task_type_;                                                   // asyncio.Task
  py::object task_arguments_;  // {"loop": loop, "name": ...}
  bool has_factory_ = false;
  bool uvloop_ = false;
  bool closed_ = false;
};

// Completes each future that is not done (its waiter may have been cancelled) and empties
// `futures`. What fails is printed by Python as unraisable.
void wake(std::vector<py::object>& futures);

}  // namespace saola::backend::asgi
