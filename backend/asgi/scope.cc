#include "backend/asgi/scope.h"

#include <pybind11/pybind11.h>

#include "backend/asgi/names.h"
#include "common/ipc/header_names.h"

namespace saola::backend::asgi {
namespace {

PyObject* new_text(std::string_view utf8) {
  return PyUnicode_DecodeUTF8(utf8.data(), static_cast<Py_ssize_t>(utf8.size()), "replace");
}

// Sets an owned value; false with an exception set, also when `value` is empty because of one.
bool put(PyObject* dict, PyObject* key, const py::object& value) {
  return value && PyDict_SetItem(dict, key, value.ptr()) == 0;
}

// (host, port); port None for a Unix socket.
py::object address(std::string_view host, std::uint16_t port, bool has_port) {
  const py::object text = steal(new_text(host));
  const py::object number = has_port ? steal(PyLong_FromLong(port)) : borrow(Py_None);
  if (!text || !number) return {};
  return steal(PyTuple_Pack(2, text.ptr(), number.ptr()));
}

}  // namespace

Result<ScopeFactory> ScopeFactory::make(const std::string& root_path) {
  return py_border([&]() -> Result<ScopeFactory> {
    if (!prepare_names()) throw py::error_already_set();
    const Names& n = names();
    ScopeFactory self;
    self.root_path_ = root_path;
    self.raw_root_path_ = py::module_::import("urllib.parse")
                              .attr("quote")(root_path, "/%:@!$&'()*+,;=~")
                              .cast<std::string>();
    self.root_path_text_ = steal(new_text(root_path));
    for (const std::string_view name : ipc::header_names()) {
      self.header_names_.push_back(steal(new_bytes(name)));
    }
    for (std::size_t i = 0; i < ipc::kMethodCount; ++i) {
      self.methods_.push_back(steal(new_text(ipc::method_name(static_cast<ipc::Method>(i)))));
    }
    self.http_ = interned("http");
    self.https_ = interned("https");
    self.version_10_ = interned("1.0");
    self.version_11_ = interned("1.1");
    self.version_2_ = interned("2");
    py::dict asgi;
    asgi["version"] = "3.0";
    asgi["spec_version"] = "2.3";
    self.asgi_ = asgi;
    // All keys, in this order; http() replaces the values that differ.
    py::dict scope;
    for (PyObject* key :
         {n.type, n.asgi, n.http_version, n.server, n.client, n.scheme, n.method, n.root_path,
          n.path, n.raw_path, n.query_string, n.headers, n.state, n.extensions}) {
      scope[py::handle(key)] = py::none();
    }
    scope[py::handle(n.type)] = self.http_;
    scope[py::handle(n.root_path)] = self.root_path_text_;
    scope[py::handle(n.query_string)] = py::handle(n.empty_bytes);
    self.prototype_ = scope;
    return self;
  });
}

PyObject* ScopeFactory::http(const ipc::RequestView& request, PyObject* state) {
  const Names& n = names();
  const ipc::RequestMeta& meta = request.meta;
  py::object scope = steal(PyDict_Copy(prototype_.ptr()));
  if (!scope) return nullptr;
  PyObject* dict = scope.ptr();
  const py::object& scheme = meta.scheme == ipc::Scheme::kHttps ? https_ : http_;
  const py::object& version = meta.version == ipc::HttpVersion::k11   ? version_11_
                              : meta.version == ipc::HttpVersion::k10 ? version_10_
                                                                      : version_2_;
  const py::object method = meta.method == ipc::Method::kOther
                                ? steal(new_text(meta.method_text))
                                : methods_[static_cast<std::size_t>(meta.method)];
  const bool done =
      put(dict, n.asgi, steal(PyDict_Copy(asgi_.ptr()))) && put(dict, n.http_version, version) &&
      put(dict, n.scheme, scheme) && put(dict, n.method, method) && put_path(dict, meta) &&
      put_addresses(dict, meta) && put(dict, n.headers, steal(headers(request.fields))) &&
      put(dict, n.state, steal(PyDict_Copy(state))) && put(dict, n.extensions, steal(PyDict_New()));
  return done ? scope.release().ptr() : nullptr;
}

bool ScopeFactory::put_path(PyObject* scope, const ipc::RequestMeta& meta) {
  const Names& n = names();
  if (!meta.query.empty() && !put(scope, n.query_string, steal(new_bytes(meta.query)))) {
    return false;
  }
  if (root_path_.empty() && meta.root_path.empty()) {
    return put(scope, n.path, steal(new_text(meta.path))) &&
           put(scope, n.raw_path, steal(new_bytes(meta.raw_path)));
  }
  // meta.raw_path is what the client sent, the route's prefix included; meta.path is below it.
  scratch_.assign(raw_root_path_).append(meta.raw_path);
  if (!put(scope, n.raw_path, steal(new_bytes(scratch_)))) return false;
  scratch_.assign(root_path_).append(meta.root_path);
  if (!meta.root_path.empty() && !put(scope, n.root_path, steal(new_text(scratch_)))) return false;
  scratch_.append(meta.path);
  return put(scope, n.path, steal(new_text(scratch_)));
}

bool ScopeFactory::put_addresses(PyObject* scope, const ipc::RequestMeta& meta) {
  const Names& n = names();
  if (!meta.client_host.empty() &&
      !put(scope, n.client, address(meta.client_host, meta.client_port, true))) {
    return false;
  }
  if (meta.server_host.empty()) return true;
  if (!server_ || meta.server_port != server_port_ || meta.server_host != server_host_) {
    server_ = address(meta.server_host, meta.server_port, meta.server_port != 0);
    server_host_ = meta.server_host;
    server_port_ = meta.server_port;
  }
  return put(scope, n.server, server_);
}

PyObject* ScopeFactory::headers(const std::vector<ipc::Field>& fields) const {
  py::object list = steal(PyList_New(static_cast<Py_ssize_t>(fields.size())));
  if (!list) return nullptr;
  Py_ssize_t index = 0;
  for (const ipc::Field& field : fields) {
    PyObject* pair = PyTuple_New(2);
    if (pair == nullptr) return nullptr;
    PyList_SET_ITEM(list.ptr(), index++, pair);
    PyObject* name =
        field.name_id != 0 ? Py_NewRef(header_names_[field.name_id].ptr()) : new_bytes(field.name);
    if (name == nullptr) return nullptr;
    PyTuple_SET_ITEM(pair, 0, name);
    PyObject* value = new_bytes(field.value);
    if (value == nullptr) return nullptr;
    PyTuple_SET_ITEM(pair, 1, value);
  }
  return list.release().ptr();
}

PyObject* ScopeFactory::lifespan(PyObject* state) {
  return Py_BuildValue("{s:s,s:{s:s,s:s},s:O}", "type", "lifespan", "asgi", "version", "3.0",
                       "spec_version", "2.0", "state", state);
}

}  // namespace saola::backend::asgi
