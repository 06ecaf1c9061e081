// The small grammars of RFC 9110 and 9112 that several parts check: tokens, field values, numbers,
// hosts, lists. Pure functions on bytes; nothing here allocates.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace saola::proxy::http1 {

// First byte in [begin, end) that is a control byte other than HTAB (0x00-0x1f, 0x7f), or `end`.
const char* find_control(const char* begin, const char* end);

inline bool has_control(std::string_view text) {
  return find_control(text.data(), text.data() + text.size()) != text.data() + text.size();
}

// RFC 9110 section 5.6.2: one or more tchar.
bool is_token(std::string_view text);

// Lower-cases a field name in place; false if it is no token (then some bytes may have changed).
bool lower_field_name(char* name, std::size_t size);

// Without spaces and tabs at both ends (OWS, RFC 9110 section 5.6.3).
std::string_view trim_ows(std::string_view text);

// ASCII letters compare without case.
bool equals_ignoring_case(std::string_view a, std::string_view b);

// 1*DIGIT up to 2^63-1: no sign, no space, no list (RFC 9110 section 8.6).
std::optional<std::int64_t> parse_content_length(std::string_view text);

// uri-host [ ":" port ] of RFC 9110 section 7.2, narrower: a host is a name of letters, digits and
// "-._~" (sub-delims and percent-encoding never occur in names that resolve, but have a history in
// attacks on applications that build links from Host), an IPv4 address or an IPv6 literal in
// brackets. No user information. An empty host is no host.
bool is_valid_authority(std::string_view text);

// The authority with the port cut off ("[::1]" keeps its brackets); `text` must be valid.
std::string_view authority_host(std::string_view text);
// Its port, empty if there is none.
std::string_view authority_port(std::string_view text);

// Takes the next element off a comma-separated list: trimmed, empty ones skipped. Nothing at the
// end.
std::optional<std::string_view> next_list_element(std::string_view& list);

}  // namespace saola::proxy::http1
