#include "proxy/tls_error.h"

#include <openssl/err.h>

namespace saola::proxy {

TlsError take_tls_error() {
  TlsError error;
  const char* data = nullptr;
  int flags = 0;
  const unsigned long code = ERR_get_error_all(nullptr, nullptr, nullptr, &data, &flags);
  if (code == 0) {
    error.text = "unknown error";
    return error;
  }
  const char* reason = ERR_reason_error_string(code);
  error.text = reason != nullptr ? reason : "error " + std::to_string(code);
  // Peers' alerts carry a number only; our own failures often name the thing.
  if (data != nullptr && *data != '\0' && (flags & ERR_TXT_STRING) != 0) {
    error.text.append(" (").append(data).append(")");
  }
  error.reason = ERR_GET_REASON(code);
  error.from_ssl = ERR_GET_LIB(code) == ERR_LIB_SSL;
  ERR_clear_error();
  return error;
}

void clear_tls_errors() {
  if (ERR_peek_error() != 0) ERR_clear_error();
}

}  // namespace saola::proxy
