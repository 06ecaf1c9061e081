#include "backend/app_loader.h"

namespace saola::backend {
namespace {

constexpr const char* kLoaderSource =
#include "python/loader.inc"
    ;

const char* wanted_name(config::Interface wanted) {
  switch (wanted) {
    case config::Interface::kAuto:
      return "auto";
    case config::Interface::kWsgi:
      return "wsgi";
    case config::Interface::kAsgi:
      return "asgi";
  }
  SAOLA_UNREACHABLE();
}

// A LoadError is for people as it is; anything else needs its traceback.
Unexpected<Error> load_failure(const config::App& app, const py::object& loader) {
  PendingException pending;
  const std::string heading = "cannot load the application \"" + app.target + "\": ";
  const auto load_error = steal(PyObject_GetAttrString(loader.ptr(), "LoadError"));
  if (!load_error || !pending.matches(load_error.ptr())) {
    PyErr_Clear();
    return fail(heading + "it raised an exception\n" + pending.format());
  }
  const std::string traceback = pending.format();
  // The last line, without the exception's name.
  const auto at = traceback.rfind("LoadError: ");
  auto message = at == std::string::npos ? traceback : traceback.substr(at + 11);
  while (!message.empty() && message.back() == '\n') message.pop_back();
  return fail(heading + message);
}

}  // namespace

const char* interface_name(AppInterface interface) {
  switch (interface) {
    case AppInterface::kWsgi:
      return "wsgi";
    case AppInterface::kAsgi:
      return "asgi";
  }
  SAOLA_UNREACHABLE();
}

Result<LoadedApp> load_app(const config::App& app) {
  const auto loader = run_embedded("saola_loader", kLoaderSource);
  if (!loader) return Unexpected{loader.error()};
  const auto found = steal(PyObject_CallMethod(loader->ptr(), "load", "sO", app.target.c_str(),
                                               app.factory ? Py_True : Py_False));
  if (!found) return load_failure(app, *loader);
  const auto classified = steal(PyObject_CallMethod(loader->ptr(), "classify", "Os", found.ptr(),
                                                    wanted_name(app.interface)));
  if (!classified) return load_failure(app, *loader);
  LoadedApp loaded;
  loaded.application = borrow(PyTuple_GET_ITEM(classified.ptr(), 0));
  loaded.interface = to_text(PyTuple_GET_ITEM(classified.ptr(), 1)) == "asgi" ? AppInterface::kAsgi
                                                                              : AppInterface::kWsgi;
  return loaded;
}

}  // namespace saola::backend
