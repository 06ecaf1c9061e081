// Answers of the admin server: status line, fields and body, compressed if the client asks.
#pragma once

#include <event2/http.h>

#include <string_view>

namespace saola::proxy {

inline constexpr const char* kPlainText = "text/plain; charset=utf-8";
inline constexpr const char* kHtml = "text/html; charset=utf-8";
inline constexpr const char* kJson = "application/json";

// Ends the request.
void reply(evhttp_request* request, int status, const char* content_type, std::string_view body);

}  // namespace saola::proxy
