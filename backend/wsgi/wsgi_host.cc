#include "backend/wsgi/wsgi_host.h"

#include "backend/wsgi/file_wrapper.h"
#include "backend/wsgi/input_stream.h"
#include "backend/wsgi/start_response.h"

namespace saola::backend {

std::unique_ptr<AppHost> make_wsgi_host(HostContext context) {
  return std::make_unique<wsgi::WsgiHost>(std::move(context));
}

namespace wsgi {

Result<void> WsgiHost::start() {
  if (auto made = init_input_type(); !made) return made;
  if (auto made = init_start_response_types(); !made) return made;
  auto file_wrapper = init_file_wrapper_type();
  if (!file_wrapper) return Unexpected{file_wrapper.error()};
  EnvironFactory::Fixed fixed;
  fixed.errors = borrow(PySys_GetObject("stderr"));
  fixed.file_wrapper = *file_wrapper;
  fixed.empty_input = make_empty_input();
  if (!fixed.errors || !fixed.empty_input) return python_failure();
  auto environs = EnvironFactory::make(context_.app, fixed);
  if (!environs) return Unexpected{environs.error()};
  environs_.emplace(std::move(*environs));
  const int threads = std::max(1, context_.app.threads);
  interrupter_.emplace(context_.channel);
  if (auto started = interrupter_->start(threads); !started) return started;
  for (int i = 0; i < threads; ++i) {
    calls_.push_back(std::make_unique<WsgiCall>(context_.channel, *environs_, *interrupter_,
                                                context_.app_log, context_.log,
                                                context_.application.ptr(), context_.hooks));
  }
  return {};
}

void WsgiHost::serve() {
  auto threads = start_threads();
  if (!threads) {
    context_.log.error("cannot start the application's threads: {}", threads.error().message);
    return context_.channel.begin_drain();
  }
  run_requests(*calls_[0], true);
  for (const auto& thread : *threads) {
    if (!steal(PyObject_CallMethod(thread.ptr(), "join", nullptr))) check_signals();
  }
}

// threading.Thread objects, so that the application's libraries see threads as they know them.
// Daemons: the interpreter's end does not wait for one that serve() has not joined.
Result<std::vector<py::object>> WsgiHost::start_threads() {
  static PyMethodDef target = {"run_requests", &WsgiHost::thread_main, METH_O, nullptr};
  std::vector<py::object> threads;
  if (calls_.size() == 1) return threads;
  const auto module = checked(PyImport_ImportModule("threading"));
  if (!module) return Unexpected{module.error()};
  const auto self = steal(PyCapsule_New(this, nullptr, nullptr));
  const auto function = self ? steal(PyCFunction_New(&target, self.ptr())) : py::object();
  const auto type = steal(PyObject_GetAttrString(module->ptr(), "Thread"));
  if (!function || !type) return python_failure();
  for (std::size_t i = 1; i < calls_.size(); ++i) {
    const std::string name = "wsgi-" + std::to_string(i);
    const auto args = steal(Py_BuildValue("()"));
    const auto keywords =
        steal(Py_BuildValue("{s:O,s:(n),s:s,s:O}", "target", function.ptr(), "args",
                            static_cast<Py_ssize_t>(i), "name", name.c_str(), "daemon", Py_True));
    auto thread = args && keywords ? steal(PyObject_Call(type.ptr(), args.ptr(), keywords.ptr()))
                                   : py::object();
    if (!thread || !steal(PyObject_CallMethod(thread.ptr(), "start", nullptr))) {
      return python_failure();
    }
    threads.push_back(std::move(thread));
  }
  return threads;
}

PyObject* WsgiHost::thread_main(PyObject* self, PyObject* index) {
  auto* host = static_cast<WsgiHost*>(PyCapsule_GetPointer(self, nullptr));
  const auto number = PyLong_AsSize_t(index);
  host->run_requests(*host->calls_[number], false);
  Py_RETURN_NONE;
}

void WsgiHost::run_requests(WsgiCall& call, bool is_main_thread) {
  auto& channel = context_.channel;
  std::uint64_t wakes_seen = 0;
  for (;;) {
    while (auto* stream = channel.claim_next()) {
      call.run(*stream);
      channel.flush_if_due();
    }
    if (channel.draining()) break;
    RequestChannel::Wakeup wakeup;
    {
      const GilRelease released;
      wakeup = channel.wait(wakes_seen);
    }
    if (is_main_thread) {
      check_signals();
    } else if (wakeup == RequestChannel::Wakeup::kInterrupted) {
      channel.wake();  // Python's signal handlers run in the main thread
    }
  }
  channel.flush();
}

// Signal handlers of the application's. What one raises ends the worker, as it ends `python3`.
void WsgiHost::check_signals() {
  if (PyErr_CheckSignals() == 0 && PyErr_Occurred() == nullptr) return;
  context_.app_log.exception("a signal handler raised; the worker finishes", take_traceback(), {});
  context_.channel.begin_drain();
}

void WsgiHost::shutdown() {
  calls_.clear();
  interrupter_.reset();
  environs_.reset();
}

}  // namespace wsgi
}  // namespace saola::backend
