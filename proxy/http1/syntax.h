// The small grammars of RFC 9110 and 9112 that several parts check: tokens, field values, numbers,
// hosts, lists. Pure functions on bytes; nothing here allocates.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace saola::proxy::http1 {

// A control byte other than HTAB: 0x00-0x1f, 0x7f.
constexpr bool is_control(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return (byte < 0x20 && c != '\t') || byte == 0x7f;
}

// First byte in [begin, end) for which is_control() holds, or `end`.
inline const char* find_control(const char* begin, const char* end) {
#if defined(__SSE2__)
  const __m128i space = _mm_set1_epi8(0x1f);
  const __m128i tab = _mm_set1_epi8('\t');
  const __m128i del = _mm_set1_epi8(0x7f);
  for (; end - begin >= 16; begin += 16) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(begin));
    const __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(bytes, space), bytes);
    const __m128i bad =
        _mm_or_si128(_mm_andnot_si128(_mm_cmpeq_epi8(bytes, tab), low), _mm_cmpeq_epi8(bytes, del));
    const auto mask = static_cast<unsigned>(_mm_movemask_epi8(bad));
    if (mask != 0) return begin + std::countr_zero(mask);
  }
#endif
  while (begin != end && !is_control(*begin)) ++begin;
  return begin;
}

inline bool has_control(std::string_view text) {
  return find_control(text.data(), text.data() + text.size()) != text.data() + text.size();
}

// RFC 9110 section 5.6.2: one or more tchar.
bool is_token(std::string_view text);

// Lower-cases a field name in place; false if it is no token (then some bytes may have changed).
bool lower_field_name(char* name, std::size_t size);

// Without spaces and tabs at both ends (OWS, RFC 9110 section 5.6.3).
inline std::string_view trim_ows(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

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
