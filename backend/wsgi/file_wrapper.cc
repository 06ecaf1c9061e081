#include "backend/wsgi/file_wrapper.h"

#include <structmember.h>
#include <sys/stat.h>

namespace saola::backend::wsgi {
namespace {

// The block size of PEP 3333's example is 8 KiB; fewer, larger blocks cost less.
constexpr Py_ssize_t kBlockSize = 64 * 1024;

struct WrapperObject {
  PyObject_HEAD PyObject* filelike;
  PyObject* read;
  Py_ssize_t block_size;
};

PyTypeObject* wrapper_type = nullptr;
// Owned for the interpreter's life.
PyObject* file_io_type = nullptr;
PyObject* buffered_reader_type = nullptr;
PyObject* buffered_random_type = nullptr;

WrapperObject& fields(PyObject* self) { return *reinterpret_cast<WrapperObject*>(self); }

int wrapper_init(PyObject* self, PyObject* args, PyObject* keywords) {
  static char filelike_name[] = "filelike";
  static char size_name[] = "blksize";
  static char* names[] = {filelike_name, size_name, nullptr};
  PyObject* filelike = nullptr;
  Py_ssize_t block_size = kBlockSize;
  if (PyArg_ParseTupleAndKeywords(args, keywords, "O|n", names, &filelike, &block_size) == 0) {
    return -1;
  }
  auto read = steal(PyObject_GetAttrString(filelike, "read"));
  if (!read) return -1;
  auto& own = fields(self);
  Py_INCREF(filelike);
  Py_XSETREF(own.filelike, filelike);
  Py_XSETREF(own.read, read.release().ptr());
  own.block_size = block_size > 0 ? block_size : kBlockSize;
  return 0;
}

int wrapper_traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(fields(self).filelike);
  Py_VISIT(fields(self).read);
  Py_VISIT(Py_TYPE(self));
  return 0;
}

int wrapper_clear(PyObject* self) {
  Py_CLEAR(fields(self).filelike);
  Py_CLEAR(fields(self).read);
  return 0;
}

void wrapper_dealloc(PyObject* self) {
  PyObject_GC_UnTrack(self);
  wrapper_clear(self);
  PyTypeObject* type = Py_TYPE(self);
  type->tp_free(self);
  Py_DECREF(type);
}

PyObject* wrapper_next(PyObject* self) {
  auto& own = fields(self);
  if (own.read == nullptr) return nullptr;
  auto data = steal(PyObject_CallFunction(own.read, "n", own.block_size));
  if (!data) return nullptr;
  const int more = PyObject_IsTrue(data.ptr());
  return more > 0 ? data.release().ptr() : nullptr;
}

PyObject* wrapper_close(PyObject* self, PyObject*) {
  auto& own = fields(self);
  const auto close =
      own.filelike != nullptr ? steal(PyObject_GetAttrString(own.filelike, "close")) : py::object();
  if (!close) {
    PyErr_Clear();  // PEP 3333: only "if the file-like object has a close() method"
    Py_RETURN_NONE;
  }
  return PyObject_CallNoArgs(close.ptr());
}

std::optional<long> ask_number(PyObject* object, const char* method) {
  const auto value = steal(PyObject_CallMethod(object, method, nullptr));
  const long number = value ? PyLong_AsLong(value.ptr()) : -1;
  if (number >= 0) return number;
  PyErr_Clear();
  return std::nullopt;
}

bool reads_descriptor_alone(PyObject* file) {
  PyObject* type = reinterpret_cast<PyObject*>(Py_TYPE(file));
  if (type == file_io_type) return true;
  if (type != buffered_reader_type && type != buffered_random_type) return false;
  const auto raw = steal(PyObject_GetAttrString(file, "raw"));
  if (!raw) PyErr_Clear();
  return raw && reinterpret_cast<PyObject*>(Py_TYPE(raw.ptr())) == file_io_type;
}

Result<void> find_file_types() {
  const auto io = steal(PyImport_ImportModule("io"));
  if (!io) return python_failure();
  file_io_type = PyObject_GetAttrString(io.ptr(), "FileIO");
  buffered_reader_type = PyObject_GetAttrString(io.ptr(), "BufferedReader");
  buffered_random_type = PyObject_GetAttrString(io.ptr(), "BufferedRandom");
  if (PyErr_Occurred() != nullptr) return python_failure();
  return {};
}

}  // namespace

Result<py::object> init_file_wrapper_type() {
  static PyMethodDef methods[] = {{"close", &wrapper_close, METH_NOARGS, nullptr},
                                  {nullptr, nullptr, 0, nullptr}};
  static PyMemberDef members[] = {
      {"filelike", T_OBJECT_EX, offsetof(WrapperObject, filelike), READONLY, nullptr},
      {"blksize", T_PYSSIZET, offsetof(WrapperObject, block_size), READONLY, nullptr},
      {nullptr, 0, 0, 0, nullptr}};
  static PyType_Slot slots[] = {{Py_tp_new, reinterpret_cast<void*>(&PyType_GenericNew)},
                                {Py_tp_init, reinterpret_cast<void*>(&wrapper_init)},
                                {Py_tp_dealloc, reinterpret_cast<void*>(&wrapper_dealloc)},
                                {Py_tp_traverse, reinterpret_cast<void*>(&wrapper_traverse)},
                                {Py_tp_clear, reinterpret_cast<void*>(&wrapper_clear)},
                                {Py_tp_methods, methods},
                                {Py_tp_members, members},
                                {Py_tp_iter, reinterpret_cast<void*>(&PyObject_SelfIter)},
                                {Py_tp_iternext, reinterpret_cast<void*>(&wrapper_next)},
                                {0, nullptr}};
  static PyType_Spec spec = {"saola.FileWrapper", sizeof(WrapperObject), 0,
                             Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC, slots};
  if (auto found = find_file_types(); !found) return Unexpected{found.error()};
  auto type = steal(PyType_FromSpec(&spec));
  if (!type) return python_failure();
  wrapper_type = reinterpret_cast<PyTypeObject*>(type.ptr());
  return type;
}

bool is_file_wrapper(PyObject* object) { return Py_TYPE(object) == wrapper_type; }

std::optional<PlainFile> open_plain_file(PyObject* file_wrapper) {
  PyObject* file = fields(file_wrapper).filelike;
  if (file == nullptr || !reads_descriptor_alone(file)) return std::nullopt;
  const auto fd = ask_number(file, "fileno");
  const auto at = fd ? ask_number(file, "tell") : std::nullopt;
  struct stat info {};
  if (!at || ::fstat(static_cast<int>(*fd), &info) != 0 || !S_ISREG(info.st_mode) ||
      *at > info.st_size) {
    return std::nullopt;
  }
  return PlainFile{static_cast<int>(*fd), *at, info.st_size};
}

}  // namespace saola::backend::wsgi
