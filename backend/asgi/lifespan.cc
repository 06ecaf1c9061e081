#include "backend/asgi/lifespan.h"

#include <utility>

#include "backend/asgi/names.h"
#include "backend/asgi/scope.h"

namespace saola::backend::asgi {
namespace {

// The Lifespan behind a receive or send; null with an exception set once it is gone.
Lifespan* owner_of(PyObject* capsule) {
  auto* self = static_cast<Lifespan*>(PyCapsule_GetContext(capsule));
  if (self == nullptr && !PyErr_Occurred()) {
    PyErr_SetString(PyExc_RuntimeError, "the server of this lifespan is gone");
  }
  return self;
}

}  // namespace

Lifespan::~Lifespan() {
  if (call_ != nullptr) call_->owner = nullptr;
  if (self_ && PyCapsule_SetContext(self_.ptr(), nullptr) != 0) PyErr_WriteUnraisable(self_.ptr());
}

// --- what the application sees -------------------------------------------------------------------

PyObject* Lifespan::call_receive(PyObject* self, PyObject*) {
  return new_awaitable(receive_step, self, nullptr);
}

PyObject* Lifespan::call_send(PyObject* self, PyObject* message) {
  return new_awaitable(send_step, self, message);
}

Step Lifespan::receive_step(Awaitable& awaitable, PyObject*& result) {
  Lifespan* self = owner_of(awaitable.owner);
  return self != nullptr ? self->receive(result) : Step::kError;
}

Step Lifespan::send_step(Awaitable& awaitable, PyObject*& result) {
  Lifespan* self = owner_of(awaitable.owner);
  if (self == nullptr || !self->take(awaitable.argument)) return Step::kError;
  result = Py_NewRef(Py_None);
  return Step::kDone;
}

Step Lifespan::receive(PyObject*& result) {
  const Names& n = names();
  if (!startup_given_) {
    startup_given_ = true;
    result = new_message(n.lifespan_startup);
  } else if (phase_ == Phase::kStopping && !shutdown_given_) {
    shutdown_given_ = true;
    result = new_message(n.lifespan_shutdown);
  } else {
    // An application that asks for more after its shutdown waits for ever; nothing is left to do.
    if (phase_ == Phase::kStopped) phase_over();
    result = loop_.create_future();
    if (result == nullptr) return Step::kError;
    receivers_.push_back(borrow(result));
    return Step::kWait;
  }
  return result != nullptr ? Step::kDone : Step::kError;
}

// False with an exception set.
bool Lifespan::take(PyObject* message) {
  const Names& n = names();
  const py::object type = message_type(message);
  if (!type) return false;
  const bool complete =
      same_text(type.ptr(), n.startup_complete) || same_text(type.ptr(), n.shutdown_complete);
  const bool of_startup =
      same_text(type.ptr(), n.startup_complete) || same_text(type.ptr(), n.startup_failed);
  const bool of_shutdown =
      same_text(type.ptr(), n.shutdown_complete) || same_text(type.ptr(), n.shutdown_failed);
  const bool fits =
      (of_startup && phase_ == Phase::kStarting) || (of_shutdown && phase_ == Phase::kStopping);
  if (!fits) {
    PyErr_Format(PyExc_RuntimeError, "Unexpected ASGI message '%U' sent during %s.", type.ptr(),
                 phase_ == Phase::kStarting ? "lifespan startup" : "lifespan");
    return false;
  }
  if (!complete && !take_failure(message)) return false;
  phase_ = of_startup ? Phase::kStarted : Phase::kStopped;
  // Shutdown lasts until the call ends, so that nothing after its last send() is cut off.
  if (of_startup) phase_over();
  return true;
}

bool Lifespan::take_failure(PyObject* message) {
  const py::object text = message_item(message, names().message);
  if (!text && PyErr_Occurred()) return false;
  failed_ = true;
  failure_ = text ? to_text(text.ptr()) : std::string();
  return true;
}

void Lifespan::app_ended(AppEnd end) {
  call_ = nullptr;
  ended_ = true;
  PendingException pending;
  if (pending.present()) traceback_ = pending.format();
  const py::object task = std::exchange(task_, {});
  phase_over();
  if (end == AppEnd::kCancelled) pending.restore();
}

// --- what the host asks for ----------------------------------------------------------------------

// The coroutine of the one call; empty with an exception set.
py::object Lifespan::make_call(PyObject* app) {
  static PyMethodDef receive_method = {"receive", call_receive, METH_NOARGS, nullptr};
  static PyMethodDef send_method = {"send", call_send, METH_O, nullptr};
  self_ =
      steal(PyCapsule_New(&mode_, nullptr, nullptr));  // the pointer is never used, but must be one
  if (!self_ || PyCapsule_SetContext(self_.ptr(), this) != 0) return {};
  py::object scope = steal(ScopeFactory::lifespan(state_.ptr()));
  py::object receive = steal(PyCFunction_New(&receive_method, self_.ptr()));
  py::object send = steal(PyCFunction_New(&send_method, self_.ptr()));
  if (!scope || !receive || !send) return {};
  return steal(new_app_call(*this, app, std::move(scope), std::move(receive), std::move(send)));
}

Result<void> Lifespan::startup(PyObject* app) {
  state_ = steal(PyDict_New());
  if (!state_) return python_failure();
  if (mode_ == config::Lifespan::kOff) {
    ended_ = true;
    return {};
  }
  const py::object call = make_call(app);
  const py::object name = call ? interned("lifespan") : py::object();
  if (!name || !loop_.look_for_task_factory()) return python_failure();
  phase_ = Phase::kStarting;
  call_ = reinterpret_cast<AppCall*>(call.ptr());
  task_ = steal(loop_.create_task(call.ptr(), name.ptr()));
  if (!task_) return python_failure();
  if (Result<void> run = run_phase(); !run) return run;

  if (interrupted_) return fail("stopped before the application's lifespan startup was complete");
  if (failed_) {
    return fail(failure_.empty() ? "ASGI lifespan startup failed"
                                 : "ASGI lifespan startup failed: " + failure_);
  }
  if (!ended_ || phase_ == Phase::kStarted) return {};
  if (mode_ == config::Lifespan::kOn) {
    return fail(traceback_.empty()
                    ? "the application returned from lifespan without completing its startup"
                    : "ASGI lifespan startup failed:\n" + traceback_);
  }
  app_log_.logger().debug("the application takes no part in ASGI lifespan{}{}",
                          traceback_.empty() ? "" : ": ", traceback_);
  return {};
}

// Runs the loop until phase_over(), at once if the application's call has ended.
Result<void> Lifespan::run_phase() {
  if (ended_) return {};
  const py::object over = steal(loop_.create_future());
  if (!over) return python_failure();
  phase_waiters_.push_back(over);
  return loop_.run_until_complete(over.ptr());
}

void Lifespan::interrupt() {
  if (phase_ != Phase::kStarting) return;
  interrupted_ = true;
  phase_over();
}

void Lifespan::time_is_up() {
  too_late_ = true;
  phase_over();
}

void Lifespan::shutdown(std::chrono::milliseconds limit) {
  if (ended_ || phase_ != Phase::kStarted || failed_) return;
  const Logger& log = app_log_.logger();
  phase_ = Phase::kStopping;
  wake(receivers_);
  const py::object timer = steal(make_callback<&Lifespan::time_is_up>(this));
  if (!timer) return log.write_block(LogLevel::kError, take_traceback());
  Result<void> run = loop_.call_later(limit, timer.ptr());
  if (run) run = run_phase();
  if (!run) log.write_block(LogLevel::kError, "ASGI lifespan shutdown: " + run.error().message);
  if (failed_) log.error("ASGI lifespan shutdown failed: {}", failure_);
  if (!traceback_.empty()) app_log_.exception("Exception in ASGI lifespan", traceback_, {});
  if (too_late_) log.warning("ASGI lifespan shutdown took longer than {} ms", limit.count());
}

}  // namespace saola::backend::asgi
