// Hooks: gunicorn's server hooks of an application, from the Python module that `app.hooks` names
// (python/hooks.py; docs/hooks.md says for users what runs where). The supervisor runs no Python,
// so all of them run in the worker, or not at all, and then a warning says so at its start.
//
//   load()            imports the module, before the application
//   boot()            pre_fork, post_fork: before the application is imported
//   ready()           post_worker_init: the application is ready (ASGI: startup complete)
//   begin(), end()    pre_request, post_request
//   abort()           worker_abort: the supervisor gives the worker up
//   at_exit()         worker_exit, child_exit: it has drained, or its boot failed after boot()
//
// What boot() and ready() raise fails the boot; what the others raise goes to the log with its
// traceback and disturbs nothing. Without `app.hooks` there is no object, and without the two
// hooks of requests hosts get none: requests pay a look at a null pointer.
//
// GIL held, but where noted.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string_view>

#include "backend/app_log.h"
#include "backend/py_handles.h"
#include "common/config/config.h"
#include "common/core/log.h"
#include "common/core/result.h"
#include "common/ipc/messages.h"

namespace saola::backend {

class Hooks {
 public:
  // Null if `app.hooks` is empty. `app_log` and `log`, whose level filters what hooks log, outlive
  // this. `age`: the worker's number.
  static Result<std::unique_ptr<Hooks>> load(const config::App& app, std::uint32_t age,
                                             const AppLog& app_log, const Logger& log);
  // Only whether load() would succeed.
  static Result<void> check(const config::App& app);
  Hooks(const Hooks&) = delete;
  Hooks& operator=(const Hooks&) = delete;
  ~Hooks();

  Result<void> boot();
  Result<void> ready(const py::object& application);
  void at_exit();
  // From a thread without the GIL. The hook runs in a thread of its own, whatever the application's
  // threads do; true if it ended within `limit`. If not (something holds the GIL), that thread is
  // left behind: the process must end now. Does nothing if there is no worker_abort.
  bool abort(std::chrono::milliseconds limit);

  bool around_requests() const { return around_requests_; }
  // The hook's own request object, for end(). `environ`: WSGI's, or ASGI's scope. Empty if it
  // could not be made, which is logged.
  py::object begin(const ipc::RequestView& request, PyObject* environ);
  // `status` 0: no head was sent. `reason` empty: the usual one.
  void end(PyObject* request, std::uint16_t status, std::string_view reason, std::uint64_t sent);

 private:
  Hooks(const AppLog& app_log, const Logger& log) : app_log_(app_log), log_(log) {}
  Result<void> bind(const config::App& app, std::uint32_t age);
  void call(const char* method);
  static PyObject* emit(PyObject* self, PyObject* args);

  const AppLog& app_log_;
  const Logger& log_;
  py::object self_;  // a capsule whose context is this object, while it lives
  py::object runner_;
  bool around_requests_ = false;
  bool has_abort_ = false;
};

}  // namespace saola::backend
