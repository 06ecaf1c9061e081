// What receive() and send() return: a native awaitable that finishes without a trip through the
// event loop whenever it can, and else waits on futures of the loop.
//
// `await` calls the step function until it is done. Nothing happens before the await, as with a
// coroutine function. To asyncio it is a coroutine (collections.abc.Coroutine), so
// create_task(receive()) works; inspect.iscoroutine(), which asks for the interpreter's own type,
// says no.
#pragma once

#include "backend/asgi/native_type.h"

namespace saola::backend::asgi {

enum class Step {
  kDone,   // `result` is a new reference to the value
  kError,  // a Python exception is set
  kWait,   // `result` is a new reference to a future; the step runs again when that is done
};

struct Awaitable;
using StepFunction = Step (*)(Awaitable& self, PyObject*& result);

struct Awaitable {
  PyObject_HEAD;
  StepFunction step;   // null once finished
  PyObject* owner;     // strong
  PyObject* argument;  // strong, or null
  PyObject* waiting;   // strong: iterator of the future waited for, or null
  int phase;           // the step function's own; 0 at first
};

// Both set a Python exception when they return false or null.
bool prepare_awaitable_type();
PyObject* new_awaitable(StepFunction step, PyObject* owner, PyObject* argument);

}  // namespace saola::backend::asgi
