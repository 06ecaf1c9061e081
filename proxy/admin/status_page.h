// The status page: one HTML document (status_page.html, inside the executable) that polls /metrics
// and /status.
#pragma once

#include <string>
#include <string_view>

namespace saola::proxy {

std::string_view status_page();

// Content-Security-Policy for a page of ours: its inline scripts and styles by their hashes, its
// own server to ask, and nothing else. Pure.
std::string content_security_policy(std::string_view page);

}  // namespace saola::proxy
