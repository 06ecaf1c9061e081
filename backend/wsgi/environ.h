// EnvironFactory: requests -> `environ` dictionaries (PEP 3333, "environ Variables").
//
// What never changes is in a template for http and one for https, copied per request; keys of
// common fields and methods are ready-made str objects found by their number on the wire. Strings
// are the request's bytes as latin-1. Fields that would alias or that a proxy must not pass are
// left out: names with '_', "Proxy" (httpoxy), Content-Type and Content-Length as HTTP_... (they
// are CGI variables). A field that occurs several times is joined with ',' (Cookie: "; ").
//
// The caller holds the GIL.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>

#include "backend/py_handles.h"
#include "common/config/config.h"
#include "common/ipc/messages.h"

namespace saola::backend::wsgi {

class EnvironFactory {
 public:
  struct Fixed {
    py::object errors;        // wsgi.errors
    py::object file_wrapper;  // wsgi.file_wrapper
    py::object empty_input;   // wsgi.input of requests without a body
  };
  static Result<EnvironFactory> make(const config::App& app, const Fixed& fixed);

  // `input` is null for a request without a body. `body_length` is the length of the body where it
  // is known and the request does not say (chunked, complete), else -1. Null with an exception
  // pending.
  py::object build(const ipc::RequestView& request, PyObject* input, std::int64_t body_length);

 private:
  static constexpr std::size_t kIds = 256;

  EnvironFactory() = default;
  bool make_keys();
  bool make_template(const config::App& app, const Fixed& fixed, ipc::Scheme scheme);
  bool add_meta(PyObject* environ, const ipc::RequestMeta& meta);
  bool add_paths(PyObject* environ, const ipc::RequestMeta& meta);
  bool add_server(PyObject* environ, const ipc::RequestMeta& meta);
  bool add_fields(PyObject* environ, const ipc::RequestView& request, std::int64_t body_length);
  bool add_field(PyObject* environ, const ipc::Field& field, bool may_repeat);
  py::object key_of(const ipc::Field& field);

  std::array<py::object, kIds> field_keys_;  // by name id; empty: not passed on
  std::array<py::object, ipc::kMethodCount> methods_;
  std::array<py::object, 2> templates_;                     // by ipc::Scheme
  std::unordered_map<std::string, py::object> other_keys_;  // bounded; names without an id
  std::string root_path_;                                   // of the app
  py::object root_path_text_;

  // The last server address: one listener serves most requests.
  std::string server_host_;
  std::uint16_t server_port_ = 0;
  py::object server_name_text_;
  py::object server_port_text_;

  struct Names {
    py::object request_method, script_name, path_info, query_string, server_name, server_port,
        server_protocol, remote_addr, remote_port, raw_uri, request_uri, wsgi_input, content_length,
        http_host, http_10, http_11, http_2, empty;
  } names_;
};

}  // namespace saola::backend::wsgi
