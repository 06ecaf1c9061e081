// The words of ASGI 3.0 as Python objects, made once per process and kept for ever: keys compare by
// address, messages are copied from prototypes.
#pragma once

#include "backend/asgi/native_type.h"

namespace saola::backend::asgi {

struct Names {
  // Keys of scopes and messages.
  PyObject *type, *asgi, *http_version, *method, *scheme, *path, *raw_path, *query_string,
      *root_path, *headers, *client, *server, *state, *extensions, *status, *body, *more_body,
      *message;
  // Message types.
  PyObject *http_request, *http_disconnect, *response_start, *response_body, *lifespan_startup,
      *startup_complete, *startup_failed, *lifespan_shutdown, *shutdown_complete, *shutdown_failed;
  PyObject* empty_bytes;
  PyObject* empty_text;
  PyObject* request_message;     // {"type": "http.request", "body": b"", "more_body": False}
  PyObject* disconnect_message;  // {"type": "http.disconnect"}
};

// False with an exception set. Call it before names().
bool prepare_names();
const Names& names();

// The value of `key` in an ASGI message, or an empty object: with an exception set if
// PyErr_Occurred(), else the key is missing. The specification says dict; any mapping will do.
py::object message_item(PyObject* message, PyObject* key);

// message["type"] if it is a str; else empty with an exception set.
py::object message_type(PyObject* message);

// A message {"type": type} that nobody else has. Null with an exception set.
PyObject* new_message(PyObject* type);

inline bool same_text(PyObject* text, PyObject* word) {
  return text == word || PyUnicode_Compare(text, word) == 0;
}

}  // namespace saola::backend::asgi
