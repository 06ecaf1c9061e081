// ResponseHead: what start_response() was given, checked and ready for the wire.
//
// Refused, with a Python exception for the application: a status that is not "NNN" or "NNN reason"
// of 200 to 999, names that are not tokens (RFC 9110 section 5.1), values with control bytes (so
// that no value can begin another field), characters beyond latin-1, a Content-Length that is no
// number or contradicts another. Left out: fields of the connection, which is the edge's (RFC 9110
// section 7.6.1; PEP 3333 forbids them). Content-Length is kept apart from the fields: it travels
// in the head itself.
//
// The caller holds the GIL, except for encode().
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "backend/py_handles.h"
#include "backend/request_channel.h"

namespace saola::backend::wsgi {

class ResponseHead {
 public:
  void reset();
  // False: an exception is pending and nothing is set.
  bool set(PyObject* status, PyObject* headers);
  // An answer of our own, with a text/plain body of `length` bytes.
  void set_plain(std::uint16_t status, std::size_t length);

  bool is_set() const { return status_ != 0; }
  std::uint16_t status() const { return status_; }
  std::string_view reason() const { return reason_; }  // empty: the usual one
  // A status whose answers never have a body (RFC 9110 section 6.4.1).
  bool forbids_body() const { return status_ == 204 || status_ == 304; }

  std::int64_t content_length() const { return content_length_; }  // -1: not known
  void set_content_length(std::int64_t length) { content_length_ = length; }

  void encode(RequestChannel::HeadInProgress& head) const;

 private:
  struct Field {
    std::uint8_t id;
    std::uint32_t name_size;
    std::uint32_t value_size;
  };
  bool set_status(PyObject* status);
  bool add_item(PyObject* item);
  bool add(std::string_view name, std::string_view value);
  bool add_content_length(std::string_view value);

  std::uint16_t status_ = 0;
  std::string reason_;
  std::int64_t content_length_ = -1;
  std::vector<Field> fields_;
  std::string bytes_;  // name, value, name, value, ...
};

}  // namespace saola::backend::wsgi
