// OpenSSL's error queue as text. The queue belongs to the thread: whoever finds an error takes it
// all.
#pragma once

#include <string>

namespace saola::proxy {

struct TlsError {
  std::string text;  // OpenSSL's reason, for example "no shared cipher"; never empty
  int reason = 0;    // SSL_R_... when `from_ssl`
  bool from_ssl = false;
};

// The root cause (the oldest entry); empties the queue.
TlsError take_tls_error();

// Empties the queue if something was left in it: SSL_get_error() misreads its caller's leftovers.
void clear_tls_errors();

}  // namespace saola::proxy
