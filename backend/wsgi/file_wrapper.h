// wsgi.file_wrapper (PEP 3333, "Optional Platform-Specific File Handling"): an iterable of blocks
// of a file-like object, with its close(). When an application returns one around a plain file, the
// host reads the descriptor itself (open_plain_file) and Python never sees the bytes.
#pragma once

#include <sys/types.h>

#include <optional>

#include "backend/py_handles.h"

namespace saola::backend::wsgi {

// Makes the Python type and returns it; once per interpreter.
Result<py::object> init_file_wrapper_type();

bool is_file_wrapper(PyObject* object);

struct PlainFile {
  int fd = -1;     // the file object's; open until the wrapper's close()
  off_t at = 0;    // what the application has left to read begins here
  off_t size = 0;  // of the whole file
};
// Nothing if the object is not a regular file read through io.FileIO or io.BufferedReader alone
// (gzip, text and the like transform what they read). GIL held; nothing is pending afterwards.
std::optional<PlainFile> open_plain_file(PyObject* file_wrapper);

}  // namespace saola::backend::wsgi
