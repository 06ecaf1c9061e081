// AppCall: the coroutine that a task runs for one call of the application (a request, or lifespan).
//
// It calls app(scope, receive, send) inside the task and drives what comes back. So the end of the
// call, an exception included, is seen where it happens: without a done callback's trip through the
// loop, and also for applications that fail before they return an awaitable. To asyncio it is a
// coroutine; cr_frame and its like are those of the application's own, so task.print_stack() shows
// the application.
#pragma once

#include "backend/asgi/native_type.h"

namespace saola::backend::asgi {

enum class AppEnd {
  kReturned,
  kRaised,  // the exception is pending and app_ended() takes it away: the task ends as if all were
            // well
  kCancelled,  // asyncio.CancelledError is pending, stays so, and cancels the task
  kAbandoned,  // closed, or thrown away with its task; no exception is set
};

class AppCallOwner {
 public:
  // Called once, from inside the call; the owner may be destroyed by it.
  virtual void app_ended(AppEnd end) = 0;

 protected:
  ~AppCallOwner() = default;
};

struct AppCall {
  PyObject_HEAD;
  AppCallOwner* owner;  // null once ended or detached
  PyObject* app;        // strong, until the call starts; as the arguments
  PyObject* scope;
  PyObject* receive;
  PyObject* send;
  PyObject* inner;  // strong: the application's coroutine, while it runs
  bool running;
};

// Both set a Python exception when they return false or null.
bool prepare_app_call_type();
// `owner` stays alive until app_ended(), or until it sets AppCall::owner to null. Takes the
// references to `scope`, `receive` and `send`.
PyObject* new_app_call(AppCallOwner& owner, PyObject* app, py::object scope, py::object receive,
                       py::object send);

}  // namespace saola::backend::asgi
