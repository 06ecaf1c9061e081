// WsgiHost: the threads that run a WSGI application. With threads = 1 requests run on the main
// thread and there is nothing else; with more, the main thread is one of them and all share the
// channel's queue: one waits at the socket, the others behind it. The GIL is let go while waiting.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "backend/app_host.h"
#include "backend/wsgi/environ.h"
#include "backend/wsgi/wsgi_call.h"

namespace saola::backend::wsgi {

class WsgiHost final : public AppHost {
 public:
  explicit WsgiHost(HostContext context) : context_(std::move(context)) {}

  Result<void> start() override;
  void serve() override;
  void shutdown() override;

 private:
  Result<std::vector<py::object>> start_threads();
  void run_requests(WsgiCall& call, bool is_main_thread);
  void check_signals();
  static PyObject* thread_main(PyObject* self, PyObject* index);

  HostContext context_;
  std::optional<EnvironFactory> environs_;
  std::optional<Interrupter> interrupter_;
  std::vector<std::unique_ptr<WsgiCall>> calls_;  // one per thread, [0] is the main thread's
};

}  // namespace saola::backend::wsgi
