// What must not stand in a log: credentials and, on request, queries.
#pragma once

#include <string>
#include <string_view>

namespace saola {

inline constexpr std::string_view kRedacted = "[redacted]";

struct Redaction {
  bool authorization = false;  // Authorization and Proxy-Authorization
  bool cookies = false;        // Cookie and Set-Cookie
  bool query = false;          // of a request's target, and of every URL in a message
  bool any() const { return authorization || cookies || query; }
  bool operator==(const Redaction&) const = default;
};

// Whether the value of this header is hidden; `name` in lower case, with '-' or '_'.
bool is_hidden_field(std::string_view name, const Redaction& redaction);

// Appends `text`, written by people and programs, without what is hidden. A header is recognised by
// its name, whatever case and quotes it is written in ("Cookie: a=b", 'HTTP_COOKIE': 'a=b',
// ("Authorization", "Basic ..")); its value ends with its quote, or with the line. Cannot know a
// secret that is not called by its name.
void append_redacted(std::string& out, std::string_view text, const Redaction& redaction);

// Appends a request's target or another URL, its query hidden.
void append_without_query(std::string& out, std::string_view url);

}  // namespace saola
