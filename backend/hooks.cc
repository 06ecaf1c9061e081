#include "backend/hooks.h"

#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

namespace saola::backend {
namespace {

constexpr const char* kHooksSource =
#include "python/hooks.inc"
    ;

struct Found {
  py::object module;  // python/hooks.py
  py::object hooks, never;
};

Unexpected<Error> failure(const config::App& app, const std::string& why) {
  return fail("cannot load the hooks \"" + app.hooks + "\": " + why);
}

Result<Found> find(const config::App& app) {
  auto module = run_embedded("saola_hooks", kHooksSource);
  if (!module) return Unexpected{module.error()};
  const auto found = steal(PyObject_CallMethod(module->ptr(), "find", "s", app.hooks.c_str()));
  if (!found) return failure(app, "the import raised an exception\n" + take_traceback());
  const std::string problem = to_text(PyTuple_GET_ITEM(found.ptr(), 2));
  if (!problem.empty()) return failure(app, problem);
  return Found{*std::move(module), borrow(PyTuple_GET_ITEM(found.ptr(), 0)),
               borrow(PyTuple_GET_ITEM(found.ptr(), 1))};
}

// What hooks read of gunicorn's `cfg`.
py::object facts_of(const config::App& app) {
  return steal(Py_BuildValue("{s:i,s:i,s:i,s:K,s:O}", "workers", app.workers, "threads",
                             app.threads, "worker_connections", app.concurrency, "max_requests",
                             static_cast<unsigned long long>(app.max_requests), "preload_app",
                             app.preload ? Py_True : Py_False));
}

LogLevel level_of(long number) {
  if (number < 20) return LogLevel::kDebug;
  if (number < 30) return LogLevel::kInfo;
  return number < 40 ? LogLevel::kWarning : LogLevel::kError;
}

// Bytes of the wire as WSGI and ASGI hosts show them: latin-1.
PyObject* latin1(std::string_view text) {
  return PyUnicode_DecodeLatin1(text.data(), static_cast<Py_ssize_t>(text.size()), nullptr);
}

// gunicorn gives a list of pairs with names in capitals.
py::object header_list(const std::vector<ipc::Field>& fields) {
  auto list = steal(PyList_New(0));
  for (const auto& field : fields) {
    if (!list) break;
    std::string name(field.name);
    for (char& c : name) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    const auto pair = steal(Py_BuildValue("(NN)", latin1(name), latin1(field.value)));
    if (!pair || PyList_Append(list.ptr(), pair.ptr()) != 0) list = py::object();
  }
  return list;
}

py::object version_of(ipc::HttpVersion version) {
  switch (version) {
    case ipc::HttpVersion::k10:
      return steal(Py_BuildValue("(ii)", 1, 0));
    case ipc::HttpVersion::k11:
      return steal(Py_BuildValue("(ii)", 1, 1));
    case ipc::HttpVersion::k2:
      return steal(Py_BuildValue("(ii)", 2, 0));
  }
  SAOLA_UNREACHABLE();
}

}  // namespace

// The application may keep worker.log, and use it when the interpreter ends.
Hooks::~Hooks() {
  if (self_ && PyCapsule_SetContext(self_.ptr(), nullptr) != 0) PyErr_WriteUnraisable(self_.ptr());
}

Result<std::unique_ptr<Hooks>> Hooks::load(const config::App& app, std::uint32_t age,
                                           const AppLog& app_log, const Logger& log) {
  if (app.hooks.empty()) return std::unique_ptr<Hooks>();
  std::unique_ptr<Hooks> self(new Hooks(app_log, log));
  if (auto bound = self->bind(app, age); !bound) return Unexpected{bound.error()};
  return self;
}

Result<void> Hooks::check(const config::App& app) {
  if (app.hooks.empty()) return {};
  const auto found = find(app);
  if (!found) return Unexpected{found.error()};
  return {};
}

Result<void> Hooks::bind(const config::App& app, std::uint32_t age) {
  static PyMethodDef emit_method = {"emit", &Hooks::emit, METH_VARARGS, nullptr};
  const auto found = find(app);
  if (!found) return Unexpected{found.error()};
  self_ = steal(PyCapsule_New(&emit_method, nullptr, nullptr));  // some pointer it must have
  if (!self_ || PyCapsule_SetContext(self_.ptr(), this) != 0) return python_failure();
  const auto emitter = steal(PyCFunction_New(&emit_method, self_.ptr()));
  const auto facts = emitter ? facts_of(app) : py::object();
  if (!facts) return python_failure();
  runner_ = steal(PyObject_CallMethod(found->module.ptr(), "Runner", "OOOIO", found->hooks.ptr(),
                                      found->never.ptr(), emitter.ptr(), age, facts.ptr()));
  if (!runner_) return python_failure();
  const auto has = [&](const char* hook) {
    return PyDict_GetItemString(found->hooks.ptr(), hook) != nullptr;
  };
  around_requests_ = has("pre_request") || has("post_request");
  has_abort_ = has("worker_abort");
  return {};
}

// Of the request at hand, if there is one: its id is in the record.
PyObject* Hooks::emit(PyObject* self, PyObject* args) {
  long number = 0;
  PyObject* text = nullptr;
  if (PyArg_ParseTuple(args, "lU", &number, &text) == 0) return nullptr;
  const auto* hooks = static_cast<Hooks*>(PyCapsule_GetContext(self));
  const LogLevel level = level_of(number);
  if (hooks != nullptr && hooks->log_.enabled(level)) hooks->app_log_.record(level, to_text(text));
  Py_RETURN_NONE;
}

Result<void> Hooks::boot() {
  if (steal(PyObject_CallMethod(runner_.ptr(), "boot", nullptr))) return {};
  return fail("a hook raised an exception\n" + take_traceback());
}

Result<void> Hooks::ready(const py::object& application) {
  if (steal(PyObject_CallMethod(runner_.ptr(), "ready", "O", application.ptr()))) return {};
  return fail("a hook raised an exception\n" + take_traceback());
}

void Hooks::call(const char* method) {
  if (steal(PyObject_CallMethod(runner_.ptr(), method, nullptr))) return;
  app_log_.exception("Exception beside a hook", take_traceback(), {});
}

void Hooks::at_exit() { call("exit"); }

bool Hooks::abort(std::chrono::milliseconds limit) {
  if (!has_abort_) return true;
  struct Shared {
    std::mutex mutex;
    std::condition_variable changed;
    bool done = false;
  };
  const auto shared = std::make_shared<Shared>();
  std::thread([this, shared] {
    {
      const GilEnsure gil;
      call("abort");
    }
    const std::lock_guard lock(shared->mutex);
    shared->done = true;
    shared->changed.notify_all();
  }).detach();
  std::unique_lock lock(shared->mutex);
  return shared->changed.wait_for(lock, limit, [&] { return shared->done; });
}

py::object Hooks::begin(const ipc::RequestView& request, PyObject* environ) {
  const ipc::RequestMeta& meta = request.meta;
  std::string uri(meta.raw_path);
  if (!meta.query.empty()) uri.append("?").append(meta.query);
  const auto headers = header_list(request.fields);
  const auto version = headers ? version_of(meta.version) : py::object();
  auto made =
      version ? steal(PyObject_CallMethod(
                    runner_.ptr(), "begin", "ONNNNOOsNN", environ,
                    latin1(meta.method == ipc::Method::kOther ? meta.method_text
                                                              : ipc::method_name(meta.method)),
                    latin1(uri), latin1(meta.path), latin1(meta.query), version.ptr(),
                    headers.ptr(), meta.scheme == ipc::Scheme::kHttps ? "https" : "http",
                    latin1(meta.client_host), latin1(meta.request_id)))
              : py::object();
  if (!made) app_log_.exception("Exception beside a hook", take_traceback(), meta.request_id);
  return made;
}

void Hooks::end(PyObject* request, std::uint16_t status, std::string_view reason,
                std::uint64_t sent) {
  const auto done =
      steal(PyObject_CallMethod(runner_.ptr(), "end", "OiNK", request, static_cast<int>(status),
                                latin1(reason), static_cast<unsigned long long>(sent)));
  if (!done) app_log_.exception("Exception beside a hook", take_traceback(), {});
}

}  // namespace saola::backend
