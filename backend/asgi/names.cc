#include "backend/asgi/names.h"

namespace saola::backend::asgi {
namespace {

Names the_names{};
bool prepared = false;

bool make_prototypes(Names& n) {
  n.empty_bytes = PyBytes_FromStringAndSize(nullptr, 0);
  n.empty_text = PyUnicode_FromStringAndSize(nullptr, 0);
  n.request_message = new_message(n.http_request);
  n.disconnect_message = new_message(n.http_disconnect);
  return n.empty_bytes != nullptr && n.empty_text != nullptr && n.request_message != nullptr &&
         n.disconnect_message != nullptr &&
         PyDict_SetItem(n.request_message, n.body, n.empty_bytes) == 0 &&
         PyDict_SetItem(n.request_message, n.more_body, Py_False) == 0;
}

}  // namespace

bool prepare_names() {
  if (prepared) return true;
  Names& n = the_names;
  const struct {
    PyObject** slot;
    const char* text;
  } words[] = {{&n.type, "type"},
               {&n.asgi, "asgi"},
               {&n.http_version, "http_version"},
               {&n.method, "method"},
               {&n.scheme, "scheme"},
               {&n.path, "path"},
               {&n.raw_path, "raw_path"},
               {&n.query_string, "query_string"},
               {&n.root_path, "root_path"},
               {&n.headers, "headers"},
               {&n.client, "client"},
               {&n.server, "server"},
               {&n.state, "state"},
               {&n.extensions, "extensions"},
               {&n.status, "status"},
               {&n.body, "body"},
               {&n.more_body, "more_body"},
               {&n.message, "message"},
               {&n.http_request, "http.request"},
               {&n.http_disconnect, "http.disconnect"},
               {&n.response_start, "http.response.start"},
               {&n.response_body, "http.response.body"},
               {&n.lifespan_startup, "lifespan.startup"},
               {&n.startup_complete, "lifespan.startup.complete"},
               {&n.startup_failed, "lifespan.startup.failed"},
               {&n.lifespan_shutdown, "lifespan.shutdown"},
               {&n.shutdown_complete, "lifespan.shutdown.complete"},
               {&n.shutdown_failed, "lifespan.shutdown.failed"}};
  for (const auto& word : words) {
    *word.slot = PyUnicode_InternFromString(word.text);
    if (*word.slot == nullptr) return false;
  }
  prepared = make_prototypes(n);
  return prepared;
}

const Names& names() { return the_names; }

py::object message_item(PyObject* message, PyObject* key) {
  if (PyDict_CheckExact(message)) return borrow(PyDict_GetItemWithError(message, key));
  py::object value = steal(PyObject_GetItem(message, key));
  if (!value && PyErr_ExceptionMatches(PyExc_KeyError)) PyErr_Clear();
  return value;
}

py::object message_type(PyObject* message) {
  py::object type = message_item(message, names().type);
  if (type && PyUnicode_Check(type.ptr())) return type;
  if (!PyErr_Occurred()) {
    PyErr_Format(PyExc_TypeError, "an ASGI message is a dict with a str as its 'type', not %R",
                 message);
  }
  return {};
}

PyObject* new_message(PyObject* type) {
  py::object message = steal(PyDict_New());
  if (!message || PyDict_SetItem(message.ptr(), the_names.type, type) != 0) return nullptr;
  return message.release().ptr();
}

}  // namespace saola::backend::asgi
