// Finds the application that a target names, and what it is.
//
//   module                     module.application, else module.app
//   module:attribute           module:attribute.sub
//   module:factory()           module:factory("name", debug=True): literal arguments only
//   app.factory = true         the target is called without arguments
//
// What it is: WSGI, ASGI 3 (a coroutine function, or an object whose __call__ is one), or ASGI 2
// (called with the scope alone; wrapped, so that hosts see ASGI 3 only). functools.partial and
// decorators with __wrapped__ or asyncio's coroutine marker are looked through. `app.interface`
// overrides.
#pragma once

#include <string>

#include "backend/py_handles.h"
#include "common/config/config.h"
#include "common/core/result.h"

namespace saola::backend {

enum class AppInterface { kWsgi, kAsgi };
const char* interface_name(AppInterface interface);  // "wsgi", "asgi"

struct LoadedApp {
  py::object application;  // callable: (environ, start_response) or async (scope, receive, send)
  AppInterface interface = AppInterface::kWsgi;
};

// GIL held. The error's message says what is wrong; where the application's own code raised, it is
// the traceback, whole.
Result<LoadedApp> load_app(const config::App& app);

}  // namespace saola::backend
