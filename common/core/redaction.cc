#include "common/core/redaction.h"

#include <algorithm>
#include <cstddef>

namespace saola {
namespace {

constexpr std::size_t kNone = std::string_view::npos;

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool starts_with_word(std::string_view text, std::string_view word) {
  return text.size() >= word.size() &&
         std::equal(word.begin(), word.end(), text.begin(),
                    [](char want, char is) { return want == lower(is); });
}

// The length of the name of a hidden header, or of the environ's query, at the start of `text`; 0:
// there is none.
std::size_t hidden_name(std::string_view text, const Redaction& redaction) {
  const auto is_there = [text](bool hidden, std::string_view word) {
    return hidden && starts_with_word(text, word) ? word.size() : 0;
  };
  return is_there(redaction.authorization, "authorization") +
         is_there(redaction.cookies, "cookie") + is_there(redaction.query, "query_string");
}

bool is_quote(char c) { return c == '\'' || c == '"'; }

std::size_t skip_blanks(std::string_view text, std::size_t at) {
  while (at < text.size() && (text[at] == ' ' || text[at] == '\t')) ++at;
  return at;
}

struct Span {
  std::size_t begin = kNone;
  std::size_t end = kNone;
};

// Where the value is, of a header whose name ends at `at`. Nothing if no value follows: prose.
Span value_behind(std::string_view text, std::size_t at) {
  if (at < text.size() && is_quote(text[at])) ++at;
  at = skip_blanks(text, at);
  if (at >= text.size() || (text[at] != ':' && text[at] != '=' && text[at] != ',')) return {};
  at = skip_blanks(text, at + 1);
  if (at < text.size() && text[at] == 'b' && at + 1 < text.size() && is_quote(text[at + 1])) ++at;
  const char quote = at < text.size() && is_quote(text[at]) ? text[at] : '\n';
  if (quote != '\n') ++at;
  std::size_t end = at;
  while (end < text.size() && text[end] != quote && text[end] != '\n') {
    if (text[end] == '\\' && quote != '\n' && end + 1 < text.size()) ++end;
    ++end;
  }
  return {at, std::min(end, text.size())};
}

bool ends_word(char c) {
  return static_cast<unsigned char>(c) <= ' ' || is_quote(c) || c == '<' || c == '>';
}

// Of a '?' at `at`: whether it starts a query. `word` is where the word around it begins.
bool is_query(std::string_view text, std::size_t word, std::size_t at) {
  return at + 1 < text.size() && !ends_word(text[at + 1]) &&
         text.substr(word, at - word).find('/') != kNone;
}

std::size_t end_of_word(std::string_view text, std::size_t at) {
  while (at < text.size() && !ends_word(text[at])) ++at;
  return at;
}

}  // namespace

bool is_hidden_field(std::string_view name, const Redaction& redaction) {
  const bool cookie = name == "cookie" || name == "set-cookie" || name == "set_cookie";
  const bool authorization =
      name == "authorization" || name == "proxy-authorization" || name == "proxy_authorization";
  return (cookie && redaction.cookies) || (authorization && redaction.authorization);
}

void append_redacted(std::string& out, std::string_view text, const Redaction& redaction) {
  std::size_t copied = 0;
  std::size_t word = 0;  // where the word at hand begins
  const auto hide = [&](std::size_t begin, std::size_t end) {
    out += text.substr(copied, begin - copied);
    out += kRedacted;
    copied = end;
  };
  for (std::size_t at = 0; at < text.size();) {
    if (ends_word(text[at])) {
      word = ++at;
      continue;
    }
    if (text[at] == '?' && redaction.query && is_query(text, word, at)) {
      const std::size_t end = end_of_word(text, at);
      hide(at + 1, end);
      at = end;
      continue;
    }
    const std::size_t name = hidden_name(text.substr(at), redaction);
    const Span value = name == 0 ? Span{} : value_behind(text, at + name);
    if (value.begin == kNone || value.begin == value.end) {
      ++at;
      continue;
    }
    hide(value.begin, value.end);
    at = word = value.end;
  }
  out += text.substr(copied);
}

void append_without_query(std::string& out, std::string_view url) {
  const std::size_t query = url.find('?');
  if (query == kNone) {
    out += url;
    return;
  }
  out += url.substr(0, query + 1);
  out += kRedacted;
}

}  // namespace saola
