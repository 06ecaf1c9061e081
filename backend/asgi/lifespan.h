// Lifespan: the application's startup and shutdown events (ASGI 3.0, lifespan spec 2.0).
//
//   on     the application must complete its startup, or it does not boot
//   auto   an application that raises on the lifespan scope before it says anything is taken as not
//   supporting it off    the application is not asked
//
// One call of the application lives from startup() to shutdown(), on the loop that serves requests.
// Used by the thread that runs the loop, with the GIL held.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "backend/app_log.h"
#include "backend/asgi/app_call.h"
#include "backend/asgi/awaitable.h"
#include "backend/asgi/py_loop.h"
#include "common/config/config.h"
#include "common/core/result.h"

namespace saola::backend::asgi {

class Lifespan final : public AppCallOwner {
 public:
  // All references outlive it.
  Lifespan(config::Lifespan mode, PyLoop& loop, const AppLog& app_log)
      : mode_(mode), loop_(loop), app_log_(app_log) {}
  Lifespan(const Lifespan&) = delete;
  Lifespan& operator=(const Lifespan&) = delete;
  ~Lifespan();

  // Runs the loop until the application has completed its startup. The error is the application's
  // message or traceback, or says that interrupt() was called.
  Result<void> startup(PyObject* app);
  // Makes startup() fail: the worker is told to stop.
  void interrupt();

  // The dict that the application fills and each request gets a copy of. After startup().
  PyObject* state() const { return state_.ptr(); }

  // Runs the loop until the application has completed its shutdown, or `limit` has passed; what
  // goes wrong is logged. Does nothing if it takes no part in lifespan.
  void shutdown(std::chrono::milliseconds limit);

  void app_ended(AppEnd end) override;

 private:
  enum class Phase { kIdle, kStarting, kStarted, kStopping, kStopped };

  static Step receive_step(Awaitable& awaitable, PyObject*& result);
  static Step send_step(Awaitable& awaitable, PyObject*& result);
  static PyObject* call_receive(PyObject* self, PyObject*);
  static PyObject* call_send(PyObject* self, PyObject* message);

  Step receive(PyObject*& result);
  bool take(PyObject* message);
  bool take_failure(PyObject* message);
  py::object make_call(PyObject* app);
  Result<void> run_phase();
  void phase_over() { wake(phase_waiters_); }
  void time_is_up();

  config::Lifespan mode_;
  PyLoop& loop_;
  const AppLog& app_log_;
  py::object state_;
  py::object
      self_;  // capsule that receive and send hold; its context is this object while that lives
  py::object task_;
  AppCall* call_ = nullptr;
  Phase phase_ = Phase::kIdle;
  bool startup_given_ = false, shutdown_given_ = false;
  bool ended_ = false;   // the application's call has returned or raised
  bool failed_ = false;  // it sent a ...failed message: failure_
  bool interrupted_ = false;
  bool too_late_ = false;
  std::string failure_;
  std::string traceback_;  // of the exception that ended it
  std::vector<py::object> receivers_;
  std::vector<py::object> phase_waiters_;  // what run_phase() waits for
};

}  // namespace saola::backend::asgi
