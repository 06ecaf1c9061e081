// ResponseHead: an http.response.start message, checked and held until the first body message, so
// that both leave together and a failure in between can still become a 500.
//
// Refused with an exception that says what is wrong: a status outside 200..999, str where bytes
// belong, names that are no tokens (RFC 9110 section 5.6.2), values with CR, LF or NUL, a
// Content-Length that is no number or given twice differently. Dropped: hop-by-hop fields (RFC 9110
// section 7.6.1), which are the edge's. Names are put into lower case.
#pragma once

#include <cstdint>
#include <vector>

#include "backend/asgi/native_type.h"
#include "backend/request_channel.h"

namespace saola::backend::asgi {

class ResponseHead {
 public:
  // False with an exception set; what was read before is gone.
  bool read(PyObject* message);

  std::uint16_t status() const { return status_; }
  // As the application said; -1: not at all.
  std::int64_t content_length() const { return content_length_; }
  // Never a body, whatever the application sends (RFC 9110 section 6.4.1).
  bool bodyless() const { return status_ == 204 || status_ == 304; }

  void write(RequestChannel::HeadInProgress& head) const;
  void clear();  // keeps capacity

 private:
  struct Field {
    std::uint8_t id;   // of common/ipc/header_names.h, or 0
    py::object name;   // bytes, lower case; empty if there is an id
    py::object value;  // bytes
  };
  bool read_headers(PyObject* headers);
  bool read_field(PyObject* name, PyObject* value);
  bool read_content_length(std::string_view value);

  std::uint16_t status_ = 0;
  std::int64_t content_length_ = -1;
  std::size_t bytes_ = 0;
  std::vector<Field> fields_;
};

}  // namespace saola::backend::asgi
