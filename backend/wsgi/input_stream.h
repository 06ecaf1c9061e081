// wsgi.input (PEP 3333, "Input and Error Streams"): read, readline, readlines and iteration over
// the request body, by need.
//
// Three sources: bytes that came with the request, the file that the edge spooled the body to (read
// with pread(2), in pieces), or the stream, from which more is fetched when it is asked for. The
// GIL is let go while a read waits or touches the file. When the request has ended, what was
// received can still be read; more raises OSError.
#pragma once

#include <cstdint>

#include "backend/py_handles.h"
#include "backend/request_channel.h"

namespace saola::backend::wsgi {

// Makes the Python type; once per interpreter.
Result<void> init_input_type();

// The body of `stream`. Null with an exception pending.
py::object make_input(RequestChannel& channel, RequestStream& stream);

// For requests without a body: always at its end. One object serves all of them.
py::object make_empty_input();

// Waits for the whole body, if it comes over the wire, and says how many bytes it has; -1 if the
// client went away before its end. For bodies whose length the request does not say.
std::int64_t settle_length(PyObject* input);

// The request is over: `stream` is not touched any more.
void detach_input(PyObject* input);

}  // namespace saola::backend::wsgi
