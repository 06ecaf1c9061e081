#include "proxy/http1/syntax.h"

#include <arpa/inet.h>

#include <array>
#include <cstring>
#include <limits>

namespace saola::proxy::http1 {
namespace {

constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }
constexpr bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// The byte in lower case if it is a tchar, else 0.
constexpr auto kLowerToken = [] {
  std::array<char, 256> table{};
  for (const char c : std::string_view("!#$%&'*+-.^_`|~")) table[static_cast<unsigned char>(c)] = c;
  for (char c = '0'; c <= '9'; ++c) table[static_cast<unsigned char>(c)] = c;
  for (char c = 'a'; c <= 'z'; ++c) table[static_cast<unsigned char>(c)] = c;
  for (char c = 'A'; c <= 'Z'; ++c) {
    table[static_cast<unsigned char>(c)] = static_cast<char>(c - 'A' + 'a');
  }
  return table;
}();

constexpr char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

bool is_valid_port(std::string_view port) {
  // RFC 3986 section 3.2.3 allows it to be empty.
  unsigned value = 0;
  for (const char c : port) {
    if (!is_digit(c)) return false;
    value = value * 10 + static_cast<unsigned>(c - '0');
    if (value > 0xffff) return false;
  }
  return true;
}

bool is_valid_ipv6(std::string_view address) {
  std::array<char, INET6_ADDRSTRLEN + 1> text{};
  if (address.size() >= text.size()) return false;
  if (address.find('\0') != std::string_view::npos) return false;
  address.copy(text.data(), address.size());
  in6_addr parsed{};
  return ::inet_pton(AF_INET6, text.data(), &parsed) == 1;
}

}  // namespace

bool is_token(std::string_view text) {
  for (const char c : text) {
    if (kLowerToken[static_cast<unsigned char>(c)] == 0) return false;
  }
  return !text.empty();
}

bool lower_field_name(char* name, std::size_t size) {
  bool good = size > 0;
  for (std::size_t i = 0; i < size; ++i) {
    const char c = kLowerToken[static_cast<unsigned char>(name[i])];
    good &= c != 0;
    name[i] = c;
  }
  return good;
}

bool equals_ignoring_case(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (lower(a[i]) != lower(b[i])) return false;
  }
  return true;
}

std::optional<std::int64_t> parse_content_length(std::string_view text) {
  constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();
  if (text.empty()) return std::nullopt;
  std::int64_t value = 0;
  for (const char c : text) {
    if (!is_digit(c)) return std::nullopt;
    const std::int64_t digit = c - '0';
    if (value > (kMax - digit) / 10) return std::nullopt;
    value = value * 10 + digit;
  }
  return value;
}

bool is_valid_authority(std::string_view text) {
  if (text.empty()) return false;
  if (text.front() == '[') {
    const auto close = text.find(']');
    if (close == std::string_view::npos || !is_valid_ipv6(text.substr(1, close - 1))) return false;
    const auto rest = text.substr(close + 1);
    return rest.empty() || (rest.front() == ':' && is_valid_port(rest.substr(1)));
  }
  std::size_t i = 0;
  for (; i < text.size() && text[i] != ':'; ++i) {
    const char c = text[i];
    if (!is_letter(c) && !is_digit(c) && c != '-' && c != '.' && c != '_' && c != '~') return false;
  }
  return i > 0 && (i == text.size() || is_valid_port(text.substr(i + 1)));
}

std::string_view authority_host(std::string_view text) {
  if (!text.empty() && text.front() == '[') return text.substr(0, text.find(']') + 1);
  return text.substr(0, text.find(':'));
}

std::string_view authority_port(std::string_view text) {
  const auto host = authority_host(text);
  return host.size() < text.size() ? text.substr(host.size() + 1) : std::string_view{};
}

std::optional<std::string_view> next_list_element(std::string_view& list) {
  while (!list.empty()) {
    const auto comma = list.find(',');
    const auto element = trim_ows(list.substr(0, comma));
    list.remove_prefix(comma == std::string_view::npos ? list.size() : comma + 1);
    if (!element.empty()) return element;
  }
  return std::nullopt;
}

}  // namespace saola::proxy::http1
