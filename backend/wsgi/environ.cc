#include "backend/wsgi/environ.h"

#include <algorithm>

#include "common/ipc/header_names.h"

namespace saola::backend::wsgi {
namespace {

namespace field = ipc::field;

// Names without an id of which the key is remembered; beyond it keys are made per request.
constexpr std::size_t kMostOtherKeys = 512;
// Room in the template for what a request adds, so that the copy does not grow.
constexpr Py_ssize_t kEnvironRoom = 42;

py::object intern(std::string_view text) {
  return steal(PyUnicode_InternFromString(std::string(text).c_str()));
}

py::object latin1(std::string_view bytes) {
  return steal(
      PyUnicode_DecodeLatin1(bytes.data(), static_cast<Py_ssize_t>(bytes.size()), nullptr));
}

bool put(PyObject* environ, const py::object& key, const py::object& value) {
  return value && PyDict_SetItem(environ, key.ptr(), value.ptr()) == 0;
}

bool put(PyObject* environ, const char* key, const py::object& value) {
  const auto name = intern(key);
  return name && put(environ, name, value);
}

py::object new_dict(Py_ssize_t room) {
#if PY_VERSION_HEX < 0x030D0000
  return steal(_PyDict_NewPresized(room));
#else
  static_cast<void>(room);
  return steal(PyDict_New());
#endif
}

// HTTP_ACCEPT_ENCODING of accept-encoding.
std::string cgi_name(std::string_view name) {
  std::string key = "HTTP_";
  for (const char c : name) {
    key += c == '-' ? '_' : c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  }
  return key;
}

bool passes(std::string_view name) {
  return name != "proxy" && name.find('_') == std::string_view::npos;
}

bool lies_below(std::string_view path, std::string_view root) {
  return !root.empty() && path.starts_with(root) &&
         (path.size() == root.size() || path[root.size()] == '/');
}

// host:port or [v6]:port -> host without brackets, port or empty.
std::pair<std::string_view, std::string_view> split_authority(std::string_view authority) {
  const auto colon = authority.rfind(':');
  const auto bracket = authority.rfind(']');
  const bool has_port =
      colon != std::string_view::npos && (bracket == std::string_view::npos || colon > bracket);
  return {authority.substr(0, has_port ? colon : authority.size()),
          has_port ? authority.substr(colon + 1) : std::string_view()};
}

}  // namespace

Result<EnvironFactory> EnvironFactory::make(const config::App& app, const Fixed& fixed) {
  EnvironFactory factory;
  factory.root_path_ = app.root_path == "/" ? "" : app.root_path;
  factory.root_path_text_ = latin1(factory.root_path_);
  if (!factory.root_path_text_ || !factory.make_keys() ||
      !factory.make_template(app, fixed, ipc::Scheme::kHttp) ||
      !factory.make_template(app, fixed, ipc::Scheme::kHttps)) {
    return python_failure();
  }
  return factory;
}

bool EnvironFactory::make_keys() {
  const auto names = ipc::header_names();
  for (std::size_t id = 1; id < names.size(); ++id) {
    if (!passes(names[id])) continue;
    field_keys_[id] = intern(cgi_name(names[id]));
    if (!field_keys_[id]) return false;
  }
  field_keys_[field::kContentType] = intern("CONTENT_TYPE");
  field_keys_[field::kContentLength] = intern("CONTENT_LENGTH");
  // Framing is the edge's affair; the body that the app reads has none.
  field_keys_[field::kTransferEncoding] = py::object();
  for (std::size_t i = 1; i < ipc::kMethodCount; ++i) {
    methods_[i] = intern(ipc::method_name(static_cast<ipc::Method>(i)));
    if (!methods_[i]) return false;
  }
  names_ = {intern("REQUEST_METHOD"),  intern("SCRIPT_NAME"), intern("PATH_INFO"),
            intern("QUERY_STRING"),    intern("SERVER_NAME"), intern("SERVER_PORT"),
            intern("SERVER_PROTOCOL"), intern("REMOTE_ADDR"), intern("REMOTE_PORT"),
            intern("RAW_URI"),         intern("REQUEST_URI"), intern("wsgi.input"),
            intern("CONTENT_LENGTH"),  intern("HTTP_HOST"),   intern("HTTP/1.0"),
            intern("HTTP/1.1"),        intern("HTTP/2"),      intern("")};
  return PyErr_Occurred() == nullptr;
}

bool EnvironFactory::make_template(const config::App& app, const Fixed& fixed, ipc::Scheme scheme) {
  auto& environ = templates_[static_cast<std::size_t>(scheme)];
  environ = new_dict(kEnvironRoom);
  if (!environ) return false;
  const bool https = scheme == ipc::Scheme::kHttps;
  PyObject* dict = environ.ptr();
  return put(dict, "wsgi.version", steal(Py_BuildValue("(ii)", 1, 0))) &&
         put(dict, "wsgi.url_scheme", intern(https ? "https" : "http")) &&
         put(dict, "wsgi.errors", fixed.errors) &&
         put(dict, "wsgi.multithread", borrow(app.threads > 1 ? Py_True : Py_False)) &&
         put(dict, "wsgi.multiprocess", borrow(app.workers != 1 ? Py_True : Py_False)) &&
         put(dict, "wsgi.run_once", borrow(Py_False)) &&
         put(dict, "wsgi.file_wrapper", fixed.file_wrapper) &&
         put(dict, "wsgi.input", fixed.empty_input) &&
         put(dict, "SERVER_SOFTWARE", intern("saola/" SAOLA_VERSION)) &&
         put(dict, "SCRIPT_NAME", root_path_text_) &&
         put(dict, "SERVER_PROTOCOL", names_.http_11) && put(dict, "QUERY_STRING", names_.empty) &&
         (!https || put(dict, "HTTPS", intern("on")));
}

py::object EnvironFactory::build(const ipc::RequestView& request, PyObject* input,
                                 std::int64_t body_length) {
  auto environ =
      steal(PyDict_Copy(templates_[static_cast<std::size_t>(request.meta.scheme)].ptr()));
  if (!environ || !add_meta(environ.ptr(), request.meta) ||
      !add_fields(environ.ptr(), request, body_length)) {
    return {};
  }
  if (input != nullptr && PyDict_SetItem(environ.ptr(), names_.wsgi_input.ptr(), input) != 0) {
    return {};
  }
  return environ;
}

bool EnvironFactory::add_meta(PyObject* environ, const ipc::RequestMeta& meta) {
  const bool named = meta.method != ipc::Method::kOther;
  if (!put(environ, names_.request_method,
           named ? methods_[static_cast<std::size_t>(meta.method)] : latin1(meta.method_text))) {
    return false;
  }
  if (meta.version != ipc::HttpVersion::k11 &&
      !put(environ, names_.server_protocol,
           meta.version == ipc::HttpVersion::k2 ? names_.http_2 : names_.http_10)) {
    return false;
  }
  // CGI (RFC 3875 section 4.1.8) wants REMOTE_ADDR; a client on a Unix socket has none.
  if (!put(environ, names_.remote_addr, latin1(meta.client_host))) return false;
  if (meta.client_port != 0 &&
      !put(environ, names_.remote_port, latin1(std::to_string(meta.client_port)))) {
    return false;
  }
  return add_paths(environ, meta) && add_server(environ, meta);
}

bool EnvironFactory::add_paths(PyObject* environ, const ipc::RequestMeta& meta) {
  std::string_view path = meta.path;
  if (!meta.root_path.empty()) {
    if (!put(environ, names_.script_name, latin1(root_path_ + std::string(meta.root_path)))) {
      return false;
    }
  } else if (lies_below(path, root_path_)) {  // the proxy before us did not strip it
    path.remove_prefix(root_path_.size());
  }
  if (!put(environ, names_.path_info, latin1(path))) return false;
  if (meta.query.empty()) {
    const auto uri = latin1(meta.raw_path);
    return put(environ, names_.raw_uri, uri) && put(environ, names_.request_uri, uri);
  }
  std::string whole(meta.raw_path);
  whole += '?';
  whole += meta.query;
  const auto uri = latin1(whole);
  return put(environ, names_.query_string, latin1(meta.query)) &&
         put(environ, names_.raw_uri, uri) && put(environ, names_.request_uri, uri);
}

bool EnvironFactory::add_server(PyObject* environ, const ipc::RequestMeta& meta) {
  if (meta.server_port == 0) {  // a Unix socket: the client's view of the address is all there is
    const auto [host, port] = split_authority(meta.authority);
    const std::string_view usual = meta.scheme == ipc::Scheme::kHttps ? "443" : "80";
    return put(environ, names_.server_name, latin1(host.empty() ? "localhost" : host)) &&
           put(environ, names_.server_port, latin1(port.empty() ? usual : port));
  }
  if (!server_name_text_ || meta.server_port != server_port_ || meta.server_host != server_host_) {
    server_host_ = meta.server_host;
    server_port_ = meta.server_port;
    server_name_text_ = latin1(server_host_);
    server_port_text_ = latin1(std::to_string(server_port_));
  }
  return put(environ, names_.server_name, server_name_text_) &&
         put(environ, names_.server_port, server_port_text_);
}

bool EnvironFactory::add_fields(PyObject* environ, const ipc::RequestView& request,
                                std::int64_t body_length) {
  std::array<bool, kIds> seen{};
  for (const auto& field : request.fields) {
    const bool may_repeat = field.name_id == 0 || std::exchange(seen[field.name_id], true);
    if (!add_field(environ, field, may_repeat)) return false;
  }
  if (!seen[field::kHost] && !request.meta.authority.empty() &&
      !put(environ, names_.http_host, latin1(request.meta.authority))) {
    return false;
  }
  return seen[field::kContentLength] || body_length < 0 ||
         put(environ, names_.content_length, latin1(std::to_string(body_length)));
}

py::object EnvironFactory::key_of(const ipc::Field& field) {
  if (field.name_id != 0) return field_keys_[field.name_id];
  if (!passes(field.name)) return {};
  const std::string name(field.name);
  if (const auto known = other_keys_.find(name); known != other_keys_.end()) return known->second;
  auto key = latin1(cgi_name(name));
  if (key && other_keys_.size() < kMostOtherKeys) other_keys_.emplace(name, key);
  return key;
}

bool EnvironFactory::add_field(PyObject* environ, const ipc::Field& field, bool may_repeat) {
  const auto key = key_of(field);
  if (!key) return PyErr_Occurred() == nullptr;
  PyObject* before =
      may_repeat ? PyDict_GetItemWithError(environ, key.ptr()) : nullptr;  // borrowed
  if (before == nullptr)
    return PyErr_Occurred() == nullptr && put(environ, key, latin1(field.value));
  const auto value = latin1(field.value);
  if (!value) return false;
  const char* joined = field.name_id == field::kCookie ? "%U; %U" : "%U,%U";
  return put(environ, key, steal(PyUnicode_FromFormat(joined, before, value.ptr())));
}

}  // namespace saola::backend::wsgi
