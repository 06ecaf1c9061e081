// AppHost: what runs the application's requests. One for WSGI (wsgi/), one for ASGI (asgi/).
//
// The worker makes it on the main thread, with the GIL held, after the application is loaded, and
// calls start(), serve(), shutdown() once each, in this order, on that thread with the GIL held.
#pragma once

#include <cstdint>
#include <memory>

#include "backend/app_log.h"
#include "backend/hooks.h"
#include "backend/py_handles.h"
#include "backend/request_channel.h"
#include "common/config/config.h"
#include "common/core/log.h"
#include "common/core/result.h"

namespace saola::backend {

// All references outlive the host.
struct HostContext {
  RequestChannel& channel;
  const config::App& app;
  const AppLog& app_log;
  Logger log;              // the worker's own records
  py::object application;  // as load_app() returned it
  Hooks* hooks = nullptr;  // null: none of them concerns requests
};

class AppHost {
 public:
  virtual ~AppHost() = default;
  // Ready to serve when it returns (ASGI: the loop exists and lifespan startup is complete). An
  // error is the application's and becomes BootFailed.
  virtual Result<void> start() = 0;
  // Returns when channel.draining() and nothing claimed is left. While channel.broken() it waits
  // for the channel's reconnect(). Never throws. The channel's wake_fd() becomes readable when
  // draining begins and after a reconnect.
  virtual void serve() = 0;
  // Lifespan shutdown, closing the loop. The channel may be broken.
  virtual void shutdown() = 0;
};

// wsgi/wsgi_host.cc
std::unique_ptr<AppHost> make_wsgi_host(HostContext context);
// asgi/asgi_host.cc
std::unique_ptr<AppHost> make_asgi_host(HostContext context);

}  // namespace saola::backend
