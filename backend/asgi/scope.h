// Connection scopes of HTTP requests (ASGI 3.0, HTTP spec 2.3) and of lifespan.
//
// spec_version is 2.3, as uvicorn's is: send() after the client has gone does nothing. (From 2.4 on
// it raises OSError, and frameworks stop listening for http.disconnect while they stream, so that a
// stream that waits for its source would never learn that its client has gone.)
//
// `path` includes `root_path` (the application's own, then the route's), as the specification and
// today's frameworks have it; bytes that are no UTF-8 become U+FFFD. `raw_path` is the same
// percent-encoded, without the query. `extensions` is there and empty: none is supported.
#pragma once

#include <string>
#include <vector>

#include "backend/asgi/native_type.h"
#include "common/core/result.h"
#include "common/ipc/messages.h"

namespace saola::backend::asgi {

class ScopeFactory {
 public:
  // GIL held; the factory is destroyed with the GIL held. `root_path` is the application's.
  static Result<ScopeFactory> make(const std::string& root_path);

  // A new scope for a request; `state` is lifespan's dict, of which the scope gets a shallow copy.
  // Null with an exception set.
  PyObject* http(const ipc::RequestView& request, PyObject* state);
  // A new lifespan scope with this very `state`.
  static PyObject* lifespan(PyObject* state);

 private:
  ScopeFactory() = default;
  bool put_path(PyObject* scope, const ipc::RequestMeta& meta);
  bool put_addresses(PyObject* scope, const ipc::RequestMeta& meta);
  PyObject* headers(const std::vector<ipc::Field>& fields) const;

  std::string root_path_;      // UTF-8
  std::string raw_root_path_;  // percent-encoded
  std::string scratch_;
  py::object prototype_;
  py::object asgi_;
  py::object root_path_text_;
  std::vector<py::object> header_names_;  // bytes, by id of common/ipc/header_names.h
  std::vector<py::object> methods_;       // str, by ipc::Method
  py::object http_, https_, version_10_, version_11_, version_2_;
  py::object server_;  // of the request before, most often the same
  std::string server_host_;
  std::uint16_t server_port_ = 0;
};

}  // namespace saola::backend::asgi
