#include "backend/asgi/response_head.h"

#include <array>
#include <charconv>

#include "backend/asgi/names.h"
#include "common/ipc/header_names.h"

namespace saola::backend::asgi {
namespace {

// Of each byte: itself in lower case if it may stand in a token, else 0.
constexpr std::array<unsigned char, 256> kTokenLower = [] {
  std::array<unsigned char, 256> table{};
  for (int c = '0'; c <= '9'; ++c)
    table[static_cast<std::size_t>(c)] = static_cast<unsigned char>(c);
  for (int c = 'a'; c <= 'z'; ++c) {
    table[static_cast<std::size_t>(c)] = static_cast<unsigned char>(c);
    table[static_cast<unsigned char>(c - 'a' + 'A')] = static_cast<unsigned char>(c);
  }
  for (const char c : std::string_view("!#$%&'*+-.^_`|~")) {
    table[static_cast<unsigned char>(c)] = static_cast<unsigned char>(c);
  }
  return table;
}();

enum class NameForm { kLower, kMixed, kInvalid };

NameForm form_of(std::string_view name) {
  if (name.empty()) return NameForm::kInvalid;
  NameForm form = NameForm::kLower;
  for (const char c : name) {
    const unsigned char lower = kTokenLower[static_cast<unsigned char>(c)];
    if (lower == 0) return NameForm::kInvalid;
    if (lower != static_cast<unsigned char>(c)) form = NameForm::kMixed;
  }
  return form;
}

py::object lower_case(std::string_view name) {
  py::object lower = steal(new_bytes(name));
  if (!lower) return {};
  char* bytes = PyBytes_AS_STRING(lower.ptr());
  for (std::size_t i = 0; i < name.size(); ++i) {
    bytes[i] = static_cast<char>(kTokenLower[static_cast<unsigned char>(name[i])]);
  }
  return lower;
}

bool has_forbidden_byte(std::string_view value) {
  for (const char c : value) {
    if (c == '\r' || c == '\n' || c == '\0') return true;
  }
  return false;
}

constexpr bool is_hop_by_hop(std::uint8_t id) {
  return id == ipc::field::kConnection || id == ipc::field::kKeepAlive ||
         id == ipc::field::kProxyConnection || id == ipc::field::kTe ||
         id == ipc::field::kTrailer || id == ipc::field::kTransferEncoding ||
         id == ipc::field::kUpgrade;
}

// The object itself if it is bytes, a copy if it is bytes-like; else empty with an exception set.
py::object as_bytes(PyObject* object, const char* what) {
  if (PyBytes_CheckExact(object)) return borrow(object);
  if (PyUnicode_Check(object) || !PyObject_CheckBuffer(object)) {
    PyErr_Format(PyExc_TypeError,
                 "http.response.start: a header's %s must be bytes, not %.100s (%R)", what,
                 Py_TYPE(object)->tp_name, object);
    return {};
  }
  return steal(PyBytes_FromObject(object));
}

}  // namespace

void ResponseHead::clear() {
  status_ = 0;
  content_length_ = -1;
  bytes_ = 0;
  fields_.clear();
}

bool ResponseHead::read(PyObject* message) {
  clear();
  const py::object status = message_item(message, names().status);
  if (!status) {
    if (!PyErr_Occurred()) PyErr_SetString(PyExc_KeyError, "status");
    return false;
  }
  const long number = PyLong_AsLong(status.ptr());
  if (number == -1 && PyErr_Occurred()) return false;
  if (number < 200 || number > 999) {
    PyErr_Format(PyExc_ValueError,
                 "http.response.start: status %ld is not that of a final response", number);
    return false;
  }
  const py::object headers = message_item(message, names().headers);
  if (!headers && PyErr_Occurred()) return false;
  if (headers && !read_headers(headers.ptr())) return false;
  status_ = static_cast<std::uint16_t>(number);
  return true;
}

bool ResponseHead::read_headers(PyObject* headers) {
  const py::object items =
      steal(PySequence_Fast(headers, "http.response.start: headers must be an iterable of pairs"));
  if (!items) return false;
  // The size is asked for each time: bytes-like objects of the application's may run its code.
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(items.ptr()); ++i) {
    const py::object item = borrow(PySequence_Fast_GET_ITEM(items.ptr(), i));
    const py::object pair =
        steal(PySequence_Fast(item.ptr(), "http.response.start: a header must be a pair of bytes"));
    if (!pair) return false;
    if (PySequence_Fast_GET_SIZE(pair.ptr()) != 2 || PyBytes_Check(item.ptr()) ||
        PyUnicode_Check(item.ptr())) {
      PyErr_Format(PyExc_ValueError,
                   "http.response.start: a header must be a pair of bytes, not %R", item.ptr());
      return false;
    }
    const py::object name = borrow(PySequence_Fast_GET_ITEM(pair.ptr(), 0));
    const py::object value = borrow(PySequence_Fast_GET_ITEM(pair.ptr(), 1));
    if (!read_field(name.ptr(), value.ptr())) return false;
  }
  return true;
}

bool ResponseHead::read_field(PyObject* name_object, PyObject* value_object) {
  py::object name = as_bytes(name_object, "name");
  if (!name) return false;
  py::object value = as_bytes(value_object, "value");
  if (!value) return false;
  const NameForm form = form_of(bytes_view(name.ptr()));
  if (form == NameForm::kInvalid) {
    PyErr_Format(PyExc_ValueError, "http.response.start: invalid header name %R", name.ptr());
    return false;
  }
  if (form == NameForm::kMixed) name = lower_case(bytes_view(name.ptr()));
  if (!name) return false;
  const std::string_view text = bytes_view(value.ptr());
  if (has_forbidden_byte(text)) {
    PyErr_Format(PyExc_ValueError,
                 "http.response.start: the value of header %R contains CR, LF or NUL: %R",
                 name.ptr(), value.ptr());
    return false;
  }
  // Of each field on the wire: id, two lengths, name, value.
  bytes_ += bytes_view(name.ptr()).size() + text.size() + 5;
  if (text.size() > ipc::kMaxFieldValue || bytes_ > ipc::kMaxHead / 2 || fields_.size() == 0xffff) {
    PyErr_Format(PyExc_ValueError,
                 "http.response.start: header %R is too long, or all are together", name.ptr());
    return false;
  }
  const std::uint8_t id = ipc::header_name_id(bytes_view(name.ptr()));
  if (id == ipc::field::kContentLength) return read_content_length(text);
  if (is_hop_by_hop(id)) return true;
  if (id != 0) name = {};
  fields_.push_back({id, std::move(name), std::move(value)});
  return true;
}

bool ResponseHead::read_content_length(std::string_view value) {
  std::int64_t length = -1;
  const auto parsed = std::from_chars(value.data(), value.data() + value.size(), length);
  const bool number = parsed.ec == std::errc() && parsed.ptr == value.data() + value.size() &&
                      !value.empty() && value.front() != '-';
  if (!number || (content_length_ >= 0 && content_length_ != length)) {
    PyErr_SetString(PyExc_ValueError, number ? "http.response.start: two different content-lengths"
                                             : "http.response.start: invalid content-length");
    return false;
  }
  content_length_ = length;
  return true;
}

void ResponseHead::write(RequestChannel::HeadInProgress& head) const {
  for (const Field& field : fields_) {
    head.add(field.id, field.name ? bytes_view(field.name.ptr()) : ipc::header_name(field.id),
             bytes_view(field.value.ptr()));
  }
}

}  // namespace saola::backend::asgi
