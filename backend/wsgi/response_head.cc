#include "backend/wsgi/response_head.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "common/ipc/frame.h"
#include "common/ipc/header_names.h"

namespace saola::backend::wsgi {
namespace {

namespace field = ipc::field;

// All names and values of one answer; the wire's heads end at ipc::kMaxHead.
constexpr std::size_t kMostBytes = 256 * 1024;
constexpr std::size_t kMostFields = 4096;

// Lower case of token characters, 0 for all others (RFC 9110 section 5.6.2).
constexpr auto kToken = [] {
  std::array<char, 256> table{};
  for (const char c : std::string_view("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")) {
    table[static_cast<unsigned char>(c)] = c;
  }
  for (char c = 'A'; c <= 'Z'; ++c) {
    table[static_cast<unsigned char>(c)] = static_cast<char>(c - 'A' + 'a');
  }
  return table;
}();

bool is_control(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return (byte < 0x20 && c != '\t') || byte == 0x7f;
}

std::string_view stripped(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// The latin-1 bytes of a str, in place. False: an exception is pending.
bool latin1_view(PyObject* object, const char* what, std::string_view& view) {
  if (PyUnicode_Check(object) == 0) {
    PyErr_Format(PyExc_TypeError, "%s must be str, not %.100s", what, Py_TYPE(object)->tp_name);
    return false;
  }
#if PY_VERSION_HEX < 0x030C0000
  if (PyUnicode_READY(object) != 0) return false;
#endif
  if (PyUnicode_KIND(object) != PyUnicode_1BYTE_KIND) {
    PyErr_Format(PyExc_ValueError, "%s has characters beyond latin-1: %R", what, object);
    return false;
  }
  view = {reinterpret_cast<const char*>(PyUnicode_1BYTE_DATA(object)),
          static_cast<std::size_t>(PyUnicode_GET_LENGTH(object))};
  return true;
}

// Fields that concern the connection to the client, not the answer.
bool is_hop_by_hop(std::uint8_t id) {
  return id == field::kConnection || id == field::kKeepAlive || id == field::kProxyConnection ||
         id == field::kTe || id == field::kTrailer || id == field::kTransferEncoding ||
         id == field::kUpgrade;
}

}  // namespace

void ResponseHead::reset() {
  status_ = 0;
  reason_.clear();
  content_length_ = -1;
  fields_.clear();
  bytes_.clear();
}

bool ResponseHead::set(PyObject* status, PyObject* headers) {
  reset();
  if (!set_status(status)) return false;
  const auto items =
      steal(PySequence_Fast(headers, "response headers must be a list of (name, value) tuples"));
  bool good = static_cast<bool>(items);
  for (Py_ssize_t i = 0; good && i < PySequence_Fast_GET_SIZE(items.ptr()); ++i) {
    good = add_item(PySequence_Fast_GET_ITEM(items.ptr(), i));
  }
  if (!good) reset();
  return good;
}

bool ResponseHead::set_status(PyObject* status) {
  std::string_view text;
  if (!latin1_view(status, "status", text)) return false;
  const auto digit = [&](std::size_t i) { return text[i] >= '0' && text[i] <= '9'; };
  const bool well_formed = text.size() >= 3 && digit(0) && digit(1) && digit(2) &&
                           (text.size() == 3 || text[3] == ' ') &&
                           std::none_of(text.begin(), text.end(), is_control);
  int number = 0;
  if (well_formed) std::from_chars(text.data(), text.data() + 3, number);
  if (number < 200) {
    PyErr_Format(PyExc_ValueError, "status must be like '200 OK', not %R", status);
    return false;
  }
  status_ = static_cast<std::uint16_t>(number);
  reason_ = text == "200 OK" || text.size() < 5 ? std::string_view() : text.substr(4);
  return true;
}

bool ResponseHead::add_item(PyObject* item) {
  const auto pair = steal(PySequence_Fast(item, "a response header must be a (name, value) tuple"));
  if (!pair) return false;
  if (PySequence_Fast_GET_SIZE(pair.ptr()) != 2) {
    PyErr_Format(PyExc_ValueError, "a response header must be a (name, value) tuple, not %R", item);
    return false;
  }
  PyObject* name_object = PySequence_Fast_GET_ITEM(pair.ptr(), 0);
  PyObject* value_object = PySequence_Fast_GET_ITEM(pair.ptr(), 1);
  std::string_view name;
  std::string_view value;
  if (!latin1_view(name_object, "a response header's name", name) ||
      !latin1_view(value_object, "a response header's value", value)) {
    return false;
  }
  if (std::any_of(value.begin(), value.end(), is_control)) {
    PyErr_Format(PyExc_ValueError, "the value of response header %R has control characters: %R",
                 name_object, value_object);
    return false;
  }
  value = stripped(value);
  const bool is_token = !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return kToken[static_cast<unsigned char>(c)] != 0;
  });
  if (!is_token) {
    PyErr_Format(PyExc_ValueError, "not a name for a response header: %R", name_object);
    return false;
  }
  return add(name, value);
}

bool ResponseHead::add(std::string_view name, std::string_view value) {
  const std::size_t before = bytes_.size();
  for (const char c : name) bytes_ += kToken[static_cast<unsigned char>(c)];
  const std::uint8_t id = ipc::header_name_id(std::string_view(bytes_).substr(before));
  if (is_hop_by_hop(id) || id == field::kContentLength) {
    bytes_.resize(before);
    return id != field::kContentLength || add_content_length(value);
  }
  bytes_ += value;
  if (name.size() > ipc::kMaxFieldValue || value.size() > ipc::kMaxFieldValue ||
      bytes_.size() > kMostBytes || fields_.size() == kMostFields) {
    PyErr_SetString(PyExc_ValueError, "the response headers are too large");
    return false;
  }
  fields_.push_back(
      {id, static_cast<std::uint32_t>(name.size()), static_cast<std::uint32_t>(value.size())});
  return true;
}

bool ResponseHead::add_content_length(std::string_view value) {
  std::int64_t length = -1;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), length);
  if (error != std::errc() || end != value.data() + value.size() || value.front() == '-' ||
      (content_length_ >= 0 && content_length_ != length)) {
    PyErr_SetString(PyExc_ValueError, "Content-Length is not a number, or contradicts another");
    return false;
  }
  content_length_ = length;
  return true;
}

void ResponseHead::set_plain(std::uint16_t status, std::size_t length) {
  reset();
  status_ = status;
  content_length_ = static_cast<std::int64_t>(length);
  static constexpr std::string_view kName = "content-type";
  static constexpr std::string_view kValue = "text/plain; charset=utf-8";
  bytes_.append(kName).append(kValue);
  fields_.push_back({field::kContentType, kName.size(), kValue.size()});
}

void ResponseHead::encode(RequestChannel::HeadInProgress& head) const {
  std::size_t at = 0;
  for (const auto& field : fields_) {
    const std::string_view all(bytes_);
    head.add(field.id, all.substr(at, field.name_size),
             all.substr(at + field.name_size, field.value_size));
    at += field.name_size + field.value_size;
  }
}

}  // namespace saola::backend::wsgi
