#include "proxy/forwarded_header.h"

#include <algorithm>
#include <optional>

#include "proxy/http1/syntax.h"

namespace saola::proxy {
namespace {

class Reader {
 public:
  explicit Reader(std::string_view input) : input_(input) {}

  bool at_end() const { return input_.empty(); }

  void skip_space() {
    while (!input_.empty() && (input_.front() == ' ' || input_.front() == '\t')) {
      input_.remove_prefix(1);
    }
  }

  bool take(char c) {
    if (!input_.starts_with(c)) return false;
    input_.remove_prefix(1);
    return true;
  }

  // The longest token at the front; empty if there is none.
  std::string_view take_token() {
    std::size_t size = 0;
    while (size < input_.size() && http1::is_token(input_.substr(size, 1))) ++size;
    const auto token = input_.substr(0, size);
    input_.remove_prefix(size);
    return token;
  }

  // token or quoted-string (RFC 9110 section 5.6.4), unquoted.
  std::optional<std::string> take_value() {
    if (!take('"')) {
      const auto token = take_token();
      if (token.empty()) return std::nullopt;
      return std::string(token);
    }
    std::string value;
    while (!input_.empty()) {
      char c = input_.front();
      input_.remove_prefix(1);
      if (c == '"') return value;
      if (c == '\\') {
        if (input_.empty()) return std::nullopt;
        c = input_.front();
        input_.remove_prefix(1);
      }
      value.push_back(c);
    }
    return std::nullopt;
  }

 private:
  std::string_view input_;
};

// name "=" value *( ";" [ name "=" value ] ); ends before a comma or at the end.
bool take_element(Reader& reader, ForwardedElement& element) {
  std::vector<std::string> seen;
  do {
    reader.skip_space();
    const auto name = reader.take_token();
    if (name.empty()) {
      reader.skip_space();
      continue;
    }
    std::string key(name);
    http1::lower_field_name(key.data(), key.size());
    if (std::find(seen.begin(), seen.end(), key) != seen.end()) return false;
    if (!reader.take('=')) return false;
    auto value = reader.take_value();
    if (!value) return false;
    if (key == "for") element.node = std::move(*value);
    if (key == "host") element.host = std::move(*value);
    if (key == "proto") element.proto = std::move(*value);
    seen.push_back(std::move(key));
    reader.skip_space();
  } while (reader.take(';'));
  return true;
}

}  // namespace

bool parse_forwarded(std::string_view value, std::vector<ForwardedElement>& elements) {
  Reader reader(value);
  while (true) {
    reader.skip_space();
    if (reader.take(',')) continue;  // empty list elements are allowed (RFC 9110 section 5.6.1)
    if (reader.at_end()) return true;
    auto& element = elements.emplace_back();
    if (!take_element(reader, element)) return false;
    if (!reader.at_end() && !reader.take(',')) return false;
  }
}

}  // namespace saola::proxy
